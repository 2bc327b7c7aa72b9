/* What libFuzzer calls: a Python with the instrumented modules inside, and one target.
 *
 * The target is the Cython module that FUZZ_TARGET names.  Its `cdef api int run(const uint8_t *,
 * size_t)` is taken once, at the start; from then on no Python stands between libFuzzer and the
 * code under test, unless the target asks for it.  The GIL is held throughout.
 *
 * LeakSanitizer does not see an object that Python's collector still knows, so memory is watched
 * here too: an input that takes some at each of many runs is a finding.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sanitizer/allocator_interface.h>

typedef int (*run_function)(const uint8_t *data, size_t size);

static run_function run;

static run_function find(const char *name)
{
    PyObject *module = PyImport_ImportModule(name);
    PyObject *functions = module ? PyObject_GetAttrString(module, "__pyx_capi__") : NULL;
    PyObject *capsule = functions ? PyMapping_GetItemString(functions, "run") : NULL;
    return capsule ? (run_function)PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)) : NULL;
}

enum {
    GROWTH_BLOCKS = 16384, /* of all runs so far, until one input is suspected */
    WARM_RUNS = 4096,     /* caches and free lists are full then: of tuples Python keeps 2,000 */
    LEAKY_RUNS = 64,
};

static long blocks;

static void count_malloc(const volatile void *block, size_t size)
{
    (void)size;
    blocks += block != NULL;
}

static void count_free(const volatile void *block)
{
    blocks -= block != NULL;
}

static long run_and_count(const uint8_t *data, size_t size)
{
    long before = blocks;
    run(data, size);
    return blocks - before;
}

static void look_for_leak(const uint8_t *data, size_t size)
{
    int runs, leaky = 0;
    for (runs = 0; runs < WARM_RUNS + LEAKY_RUNS; runs++)
        leaky = run_and_count(data, size) > 0 ? leaky + 1 : 0;
    if (leaky < LEAKY_RUNS)
        return;
    fputs("invariant broken: this input takes memory at each run\n", stderr);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("FUZZ_TARGET");
    (void)argc, (void)argv;
    if (!name) {
        fputs("FUZZ_TARGET is not set; start me by tests/fuzz/run.py\n", stderr);
        exit(2);
    }
    Py_InitializeEx(0); /* signals are libFuzzer's */
    run = find(name);
    if (!run) {
        PyErr_Print();
        exit(2);
    }
    __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static long grown;
    long more = run_and_count(data, size);
    grown += more;
    if (more > 0 && (grown > GROWTH_BLOCKS || getenv("FUZZ_LEAKS"))) {
        look_for_leak(data, size);
        grown = 0;
    }
    return 0;
}
