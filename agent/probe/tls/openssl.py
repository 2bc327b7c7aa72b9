"""OpenSSL 1.1 and 3, and BoringSSL, which kept its names: shared, bundled or static.

`SSL_read_ex` and `SSL_write_ex` are not in BoringSSL, hence not required.  `SSL_free` ends what is
known of an SSL pointer, whose value is soon used again; `SSL_clear` makes it another connection's.
Early data comes before the handshake has ended (RFC 8446 2.3); `SSL_write_ex2` is OpenSSL 3.3's.
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
        Function("SSL_write_ex2", "tls_write_ex2_enter", "tls_exit"),
        Function("SSL_read_early_data", "tls_read_ex_enter", "tls_exit"),
        Function("SSL_write_early_data", "tls_write_ex_enter", "tls_exit"),
        Function("SSL_free", "tls_free_enter"),
        Function("SSL_clear", "tls_free_enter"),
    ),
)
