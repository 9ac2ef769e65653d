/* The little of HTTP/2 (RFC 9113) that the measured application and the load generator share. */
#ifndef BENCH_HTTP2_H
#define BENCH_HTTP2_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LENGTH 24
#define H2_FRAME_HEADER 9
/* Nobody here announces more than the initial SETTINGS_MAX_FRAME_SIZE. */
#define H2_MAX_FRAME 16384
/* The connection's window is raised to about this at the start, and topped up when this much of it was used. */
#define H2_WINDOW 0x3fff0000u
#define H2_WINDOW_STEP (1u << 20)

enum { H2_DATA = 0, H2_HEADERS = 1, H2_RST_STREAM = 3, H2_SETTINGS = 4, H2_PING = 6, H2_GOAWAY = 7, H2_WINDOW_UPDATE = 8 };
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8 };

/* What a gRPC message costs besides its bytes: the flag and the length. */
#define GRPC_PREFIX 5

static inline unsigned char *h2_put32(unsigned char *to, uint32_t value)
{
    to[0] = (unsigned char) (value >> 24);
    to[1] = (unsigned char) (value >> 16);
    to[2] = (unsigned char) (value >> 8);
    to[3] = (unsigned char) value;
    return to + 4;
}

static inline uint32_t h2_get32(const unsigned char *from)
{
    return (uint32_t) from[0] << 24 | (uint32_t) from[1] << 16 | (uint32_t) from[2] << 8 | from[3];
}

static inline unsigned char *h2_frame(unsigned char *to, size_t length, int type, int flags, uint32_t stream)
{
    to[0] = (unsigned char) (length >> 16);
    to[1] = (unsigned char) (length >> 8);
    to[2] = (unsigned char) length;
    to[3] = (unsigned char) type;
    to[4] = (unsigned char) flags;
    return h2_put32(to + 5, stream);
}

static inline unsigned char *h2_window_update(unsigned char *to, uint32_t stream, uint32_t increment)
{
    return h2_put32(h2_frame(to, 4, H2_WINDOW_UPDATE, 0, stream), increment);
}

/* A header field, literal without indexing, its name from the static table (RFC 7541 appendix A) below 15. */
static inline unsigned char *h2_field(unsigned char *to, int name_index, const char *value)
{
    size_t length = strlen(value);

    *to++ = (unsigned char) name_index;
    *to++ = (unsigned char) length;
    memcpy(to, value, length);
    return to + length;
}

static inline unsigned char *h2_content_type_grpc(unsigned char *to)
{
    *to++ = 0x0f;                      /* index 31 (content-type) in two bytes: 15 + 16 */
    return h2_field(to, 16, "application/grpc");
}

static inline unsigned char *h2_named_field(unsigned char *to, const char *name, const char *value)
{
    size_t length = strlen(value);

    to = h2_field(to, 0, name);
    *to++ = (unsigned char) length;
    memcpy(to, value, length);
    return to + length;
}

#endif
