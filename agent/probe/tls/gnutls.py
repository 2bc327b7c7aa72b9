"""GnuTLS 3: glib-networking (libsoup), lighttpd, cockpit, curl with GnuTLS.

`gnutls_record_send2` takes more parameters, behind those that matter.  `gnutls_deinit` ends what is
known of a session.  Data that is corked is told when it is given, not when it is sent.
"""

from sockwarden.agent.probe.tls import Function, Library

LIBRARY = Library(
    name="gnutls",
    source=2,
    file_names=("libgnutls.so*", "libgnutls-*.so*"),
    functions=(
        Function("gnutls_record_recv", "gnutls_read_enter", "tls_exit", required=True),
        Function("gnutls_record_send", "gnutls_write_enter", "tls_exit", required=True),
        Function("gnutls_record_send2", "gnutls_write2_enter", "tls_exit"),
        Function("gnutls_deinit", "tls_free_enter"),
    ),
)
