"""NSS, through the Netscape Portable Runtime whose calls its programs make.

Only descriptors with a layer over the socket count, so that files and plain sockets read by NSPR
are not told twice.  `PR_Close` ends what is known of a descriptor.
"""

from sockwarden.agent.probe.tls import Function, Library

LIBRARY = Library(
    name="nss",
    source=3,
    file_names=("libnspr4.so*", "libnspr4-*.so*"),
    functions=(
        Function("PR_Read", "nss_read_enter", "tls_exit", required=True),
        Function("PR_Write", "nss_write_enter", "tls_exit", required=True),
        Function("PR_Recv", "nss_read_enter", "tls_exit"),
        Function("PR_Send", "nss_write_enter", "tls_exit"),
        Function("PR_Close", "tls_free_enter"),
    ),
)
