/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What an SSL object of OpenSSL reads from.  A BIO tells by its method's name what it is, so another
 * library's object, or another layout, is nothing that is known here.
 *
 *   SSL:  rbio at 16, from OpenSSL 3.2 on at 80
 *   BIO:  method at 0, from 3.0 on at 8; num 48 and ptr 56 bytes behind it
 */
enum { RBIO = 16, RBIO_SINCE_3_2 = 80, METHOD = 0, METHOD_SINCE_3_0 = 8 };
enum { METHOD_NAME = 8, NUM_BEHIND_METHOD = 48, PTR_BEHIND_METHOD = 56 };
enum { PAIR_BUFFER = 40, MEMORY_DATA = 8 };

#define NAME_MEMORY 0x622079726f6d656dull /* "memory b"uffer */
#define NAME_PAIR 0x72696170204f4942ull   /* "BIO pair" */
#define NAME_SOCKET 0x0074656b636f73ull   /* "socket", 7 bytes with its end */

/* What a BIO's data comes from: a socket, or bytes in memory, the last that it was fed first. */
struct bio_source {
    u64 memory;
    s32 fd;
    u8 known;
};

static __always_inline u64 user_word(u64 address)
{
    u64 value = 0;
    read_user(&value, sizeof value, (void *)address);
    return value;
}

static __always_inline void look_into_bio(struct bio_source *source, u64 bio, u32 method_at)
{
    u64 name = user_word(user_word(user_word(bio + method_at) + METHOD_NAME));
    u64 ptr = bio + method_at + PTR_BEHIND_METHOD;
    if (name == NAME_MEMORY) { /* BIO_BUF_MEM: BUF_MEM *buf, whose data stays where it was put */
        source->memory = user_word(user_word(user_word(ptr)) + MEMORY_DATA);
        source->known = 1;
    } else if (name == NAME_PAIR) { /* bio_bio_st: BIO *peer, which holds what is read here */
        u64 peer = user_word(user_word(ptr));
        source->memory = user_word(user_word(peer + method_at + PTR_BEHIND_METHOD) + PAIR_BUFFER);
        source->known = 1;
    } else if (name << 8 == NAME_SOCKET << 8) {
        source->fd = user_word(bio + method_at + NUM_BEHIND_METHOD);
        source->known = 1;
    }
}

static __always_inline void look_into_ssl(struct bio_source *source, u64 ssl)
{
    look_into_bio(source, user_word(ssl + RBIO), METHOD_SINCE_3_0);
    if (!source->known)
        look_into_bio(source, user_word(ssl + RBIO), METHOD);
    if (!source->known)
        look_into_bio(source, user_word(ssl + RBIO_SINCE_3_2), METHOD_SINCE_3_0);
}
