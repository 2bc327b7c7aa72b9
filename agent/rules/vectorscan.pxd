"""The part of Vectorscan's C interface that the rules use (libhs.so.5, linked dynamically)."""

cdef extern from "hs/hs.h" nogil:
    ctypedef struct hs_database_t:
        pass
    ctypedef struct hs_scratch_t:
        pass
    ctypedef struct hs_compile_error_t:
        char *message
        int expression
    ctypedef struct hs_platform_info_t:
        unsigned int tune
        unsigned long long cpu_features
    ctypedef int hs_error_t
    ctypedef int (*match_event_handler)(unsigned int id, unsigned long long start,
                                        unsigned long long end, unsigned int flags,
                                        void *context) noexcept nogil

    enum:
        HS_SUCCESS
        HS_SCAN_TERMINATED
        HS_MODE_BLOCK
        HS_FLAG_CASELESS
        HS_FLAG_DOTALL
        HS_FLAG_MULTILINE
        HS_FLAG_SINGLEMATCH
        HS_FLAG_SOM_LEFTMOST

    hs_error_t hs_compile(const char *expression, unsigned int flags, unsigned int mode,
                          const hs_platform_info_t *platform, hs_database_t **database,
                          hs_compile_error_t **error)
    hs_error_t hs_compile_multi(const char *const *expressions, const unsigned int *flags,
                                const unsigned int *ids, unsigned int elements,
                                unsigned int mode, const hs_platform_info_t *platform,
                                hs_database_t **database, hs_compile_error_t **error)
    hs_error_t hs_free_compile_error(hs_compile_error_t *error)
    hs_error_t hs_free_database(hs_database_t *database)
    hs_error_t hs_alloc_scratch(const hs_database_t *database, hs_scratch_t **scratch)
    hs_error_t hs_free_scratch(hs_scratch_t *scratch)
    # The bytes are the caller's, to free.
    hs_error_t hs_serialize_database(const hs_database_t *database, char **data, size_t *length)
    hs_error_t hs_deserialize_database(const char *data, size_t length, hs_database_t **database)
    hs_error_t hs_populate_platform(hs_platform_info_t *platform)
    const char *hs_version()

cdef extern from "agent/rules/vectorscan.h" nogil:
    # For hs_compile and hs_compile_multi.
    const hs_platform_info_t *platform "sw_platform"()
    hs_error_t hs_scan "sw_hs_scan"(const hs_database_t *database, const char *data,
                                    unsigned int length, unsigned int flags,
                                    hs_scratch_t *scratch, match_event_handler on_event,
                                    void *context)
