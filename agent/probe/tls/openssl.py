"""OpenSSL 1.1 and 3, and BoringSSL, which kept its names: shared, bundled or static.

`SSL_read_ex` and `SSL_write_ex` are not in BoringSSL, hence not required.  `SSL_free` ends
what is known of an SSL pointer, whose value is soon used again.
"""

from sockwarden.agent.probe.tls import Function, Library

LIBRARY = Library(
    name="openssl",
    source=1,
    file_names=("libssl.so*", "libssl-*.so*"),
    functions=(
        Function("SSL_read", "tls_read_enter", "tls_exit", required=True),
        Function("SSL_write", "tls_write_enter", "tls_exit", required=True),
        Function("SSL_read_ex", "tls_read_ex_enter", "tls_exit"),
        Function("SSL_write_ex", "tls_write_ex_enter", "tls_exit"),
        Function("SSL_free", "tls_free_enter"),
    ),
)
