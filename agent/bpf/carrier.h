/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which descriptor carries an SSL object, and which SSL object a descriptor: one each, until the
 * object is freed or the descriptor closed.
 */

static __always_inline void bind(const struct who *ssl, s32 fd)
{
    struct who descriptor = {ssl->process, (u32)fd};
    u64 object = ssl->handle;
    ssl_descriptors.update((struct who *)ssl, &fd);
    descriptor_ssls.update(&descriptor, &object);
}

static __always_inline int is_bound(const struct who *descriptor)
{
    return descriptor_ssls.lookup((struct who *)descriptor) != 0;
}

/* -1: not known, and never guessed. */
static __always_inline s32 descriptor_of_ssl(const struct who *who)
{
    s32 *fd = ssl_descriptors.lookup((struct who *)who);
    return fd ? *fd : -1;
}

/* The number of a closed descriptor is another socket's next. */
static __always_inline void unbind_descriptor(const struct who *descriptor)
{
    u64 *object = descriptor_ssls.lookup((struct who *)descriptor);
    if (!object)
        return;
    struct who ssl = {descriptor->process, *object};
    descriptor_ssls.delete((struct who *)descriptor);
    s32 *fd = ssl_descriptors.lookup(&ssl);
    if (fd && (u32)*fd == descriptor->handle)
        ssl_descriptors.delete(&ssl);
}

static __always_inline void unbind_ssl(const struct who *ssl)
{
    s32 *fd = ssl_descriptors.lookup((struct who *)ssl);
    if (!fd)
        return;
    struct who descriptor = {ssl->process, (u32)*fd};
    ssl_descriptors.delete((struct who *)ssl);
    u64 *object = descriptor_ssls.lookup(&descriptor);
    if (object && *object == ssl->handle)
        descriptor_ssls.delete(&descriptor);
}
