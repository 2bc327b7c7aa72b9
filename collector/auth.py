"""Who is calling: the agent that a client certificate names.

Under mutual TLS an agent is one of the subject alternative names of its certificate.
Without TLS (unix sockets and the explicit loopback mode) it is who it says it is.
"""

import grpc

from sockwarden.collector.answer import Context, Refusal


def agent_of(context: Context, claimed: str, *, certificates: bool) -> str:
    if not certificates:
        return claimed
    names = {
        name.decode(errors="replace")
        for name in context.auth_context().get("x509_subject_alternative_name", ())
    }
    if claimed not in names:
        raise Refusal(
            grpc.StatusCode.PERMISSION_DENIED,
            f"hello.agent: the certificate is for {', '.join(sorted(names)) or 'nobody'}, "
            f"not for {claimed}",
        )
    return claimed
