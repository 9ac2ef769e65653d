/*
 * The access log: a line for each request and TCP connection, on standard output. nginx's own would open /dev/stdout,
 * which an unprivileged user often may not, is not switched while running, and writes a line at a time or none for
 * long. Lines are gathered here and written when 16 KiB have come together, or a second after the first of them.
 */

#include "ngx_mesh.h"

#include <poll.h>


#define NGX_MESH_ACCESS_BUFFER   16384
#define NGX_MESH_ACCESS_LARGEST  262144     /* of the buffer, while the reader is busy */
#define NGX_MESH_ACCESS_DELAY    1000       /* ms */
#define NGX_MESH_ACCESS_RETRY    100        /* ms, while the reader is busy */
#define NGX_MESH_ACCESS_REQUEST  2048       /* bytes, escaped, of the request line */
#define NGX_MESH_ACCESS_FIELD    512        /* of another field */
#define NGX_MESH_ACCESS_LINE     6144       /* all of them together and what is between */
/* A pipe that is ready takes this much without blocking, in one piece (pipe(7), PIPE_BUF). */
#define NGX_MESH_ACCESS_WRITE    4096


typedef struct {
    u_char           *pos;
    u_char           *end;
} ngx_mesh_line_t;


static struct {
    ngx_uint_t        format;
    u_char           *buffer;
    size_t            size;
    size_t            len;
    ngx_uint_t        lost;                 /* lines since the last that could be written */
    ngx_event_t       flush;
    ngx_connection_t  nobody;
} ngx_mesh_access;


static void ngx_mesh_access_flush_handler(ngx_event_t *ev);


void
ngx_mesh_access_set_format(ngx_uint_t format)
{
    if (format != NGX_MESH_ACCESS_OFF && ngx_mesh_access.buffer == NULL) {
        ngx_mesh_access.buffer = malloc(NGX_MESH_ACCESS_BUFFER);

        if (ngx_mesh_access.buffer == NULL) {
            return;
        }

        ngx_mesh_access.size = NGX_MESH_ACCESS_BUFFER;

        /* at level debug nginx logs the file descriptor of each timer's connection */
        ngx_mesh_access.nobody.fd = (ngx_socket_t) -1;
        ngx_mesh_access.flush.data = &ngx_mesh_access.nobody;
        ngx_mesh_access.flush.handler = ngx_mesh_access_flush_handler;
        ngx_mesh_access.flush.log = ngx_cycle->log;
        ngx_mesh_access.flush.cancelable = 1;
    }

    ngx_mesh_access.format = format;
}


ngx_uint_t
ngx_mesh_access_format(void)
{
    return ngx_mesh_access.format;
}


static void
ngx_mesh_line_text(ngx_mesh_line_t *line, const char *text)
{
    size_t  len;

    len = ngx_min(ngx_strlen(text), (size_t) (line->end - line->pos));
    line->pos = ngx_cpymem(line->pos, text, len);
}


static u_char *
ngx_mesh_line_escape(u_char *p, u_char c, ngx_uint_t json)
{
    static u_char  hex[] = "0123456789ABCDEF";

    *p++ = '\\';

    if (json && (c == '"' || c == '\\')) {
        *p++ = c;
        return p;
    }

    p = json ? ngx_cpymem(p, "u00", 3) : ngx_cpymem(p, "x", 1);

    *p++ = hex[c >> 4];
    *p++ = hex[c & 0xf];

    return p;
}


/* RFC 3629; nginx's own ngx_utf8_length() takes any byte from 0x80 on for the rest of a character, and surrogates. */
static ngx_uint_t
ngx_mesh_line_is_utf8(ngx_str_t *value)
{
    u_char      c, *p, *last;
    uint32_t    point, least;
    ngx_uint_t  n;

    p = value->data;
    last = p + value->len;

    while (p < last) {
        c = *p++;

        if (c < 0x80) {
            continue;
        }

        if (c >= 0xf0 && c < 0xf5) {
            n = 3;
            point = c & 0x07;
            least = 0x10000;

        } else if (c >= 0xe0 && c < 0xf0) {
            n = 2;
            point = c & 0x0f;
            least = 0x800;

        } else if (c >= 0xc2 && c < 0xe0) {
            n = 1;
            point = c & 0x1f;
            least = 0x80;

        } else {
            return 0;
        }

        while (n--) {
            if (p == last || (*p & 0xc0) != 0x80) {
                return 0;
            }

            point = (point << 6) | (*p++ & 0x3f);
        }

        if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
            return 0;
        }
    }

    return 1;
}


/* Escaped for the format: as nginx does it in `combined`, or as JSON (RFC 8259, section 7); `most` bytes of that. */
static void
ngx_mesh_line_value(ngx_mesh_line_t *line, ngx_str_t *value, size_t most)
{
    u_char      *p, *start, *end, c;
    size_t       i;
    ngx_uint_t   json, raw;

    p = line->pos;
    start = p;
    end = p + ngx_min(most, (size_t) (line->end - p));
    json = (ngx_mesh_access.format == NGX_MESH_ACCESS_JSON);

    /* bytes that are no UTF-8 are written as if they were Latin-1 */
    raw = (json && ngx_mesh_line_is_utf8(value));

    for (i = 0; i < value->len && end - p >= 6; i++) {
        c = value->data[i];

        if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x7f || (raw && c > 0x7f))) {
            *p++ = c;

        } else {
            p = ngx_mesh_line_escape(p, c, json);
        }
    }

    if (raw && i < value->len && (value->data[i] & 0xc0) == 0x80) {

        /* no half of a character */

        while (p > start && (p[-1] & 0xc0) == 0x80) {
            p--;
        }

        p -= (p > start);
    }

    line->pos = p;
}


static void
ngx_mesh_line_or_dash(ngx_mesh_line_t *line, ngx_str_t *value)
{
    if (value->len) {
        ngx_mesh_line_value(line, value, NGX_MESH_ACCESS_FIELD);

    } else {
        ngx_mesh_line_text(line, "-");
    }
}


static void
ngx_mesh_line_number(ngx_mesh_line_t *line, const char *before, int64_t number)
{
    ngx_mesh_line_text(line, before);

    if (line->end - line->pos >= (ssize_t) NGX_INT64_LEN) {
        line->pos = ngx_sprintf(line->pos, "%L", number);
    }
}


/* Seconds with milliseconds. */
static void
ngx_mesh_line_duration(ngx_mesh_line_t *line, const char *before, int64_t microseconds)
{
    ngx_mesh_line_number(line, before, microseconds / 1000000);

    if (line->end - line->pos >= 4) {
        line->pos = ngx_sprintf(line->pos, ".%03L", microseconds / 1000 % 1000);
    }
}


static void
ngx_mesh_line_field(ngx_mesh_line_t *line, const char *before, ngx_str_t *value, size_t most)
{
    if (value->len) {
        ngx_mesh_line_text(line, before);
        ngx_mesh_line_value(line, value, most);
        ngx_mesh_line_text(line, "\"");
    }
}


static void
ngx_mesh_access_json(ngx_mesh_line_t *line, ngx_mesh_access_t *a)
{
    size_t   len;
    u_char  *time;

    /* nginx's has no milliseconds */

    time = ngx_cached_http_log_iso8601.data;
    len = sizeof("1970-09-28T12:00:00") - 1;

    line->pos = ngx_sprintf(line->pos, "{\"time\":\"%*s.%03M%s\"", len, time, ngx_cached_time->msec, time + len);

    ngx_mesh_line_text(line, a->outgoing ? ",\"direction\":\"outgoing\"" : ",\"direction\":\"incoming\"");
    ngx_mesh_line_field(line, ",\"client\":\"", &a->client, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_field(line, ",\"request\":\"", &a->request, NGX_MESH_ACCESS_REQUEST);
    ngx_mesh_line_field(line, ",\"destination\":\"", &a->destination, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_field(line, ",\"host\":\"", &a->host, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_number(line, ",\"status\":", a->status);
    ngx_mesh_line_number(line, ",\"bytesReceived\":", a->received);
    ngx_mesh_line_number(line, ",\"bytesSent\":", a->sent);
    ngx_mesh_line_duration(line, ",\"duration\":", a->duration);
    ngx_mesh_line_field(line, ",\"upstream\":\"", &a->upstream, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_field(line, ",\"peer\":\"", &a->peer, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_field(line, ",\"referer\":\"", &a->referer, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_field(line, ",\"userAgent\":\"", &a->user_agent, NGX_MESH_ACCESS_FIELD);
    ngx_mesh_line_text(line, "}");
}


/* nginx's `combined`, and what only the mesh knows behind it. */
static void
ngx_mesh_access_default(ngx_mesh_line_t *line, ngx_mesh_access_t *a)
{
    ngx_mesh_line_or_dash(line, &a->client);
    ngx_mesh_line_text(line, " - - [");
    ngx_mesh_line_text(line, (char *) ngx_cached_http_log_time.data);
    ngx_mesh_line_text(line, "] \"");

    if (a->request.len) {
        ngx_mesh_line_value(line, &a->request, NGX_MESH_ACCESS_REQUEST);

    } else {
        ngx_mesh_line_text(line, "TCP ");
        ngx_mesh_line_value(line, &a->destination, NGX_MESH_ACCESS_FIELD);
    }

    ngx_mesh_line_number(line, "\" ", a->status);
    ngx_mesh_line_number(line, " ", a->sent);
    ngx_mesh_line_text(line, " \"");
    ngx_mesh_line_or_dash(line, &a->referer);
    ngx_mesh_line_text(line, "\" \"");
    ngx_mesh_line_or_dash(line, &a->user_agent);
    ngx_mesh_line_text(line, a->outgoing ? "\" outgoing \"" : "\" incoming \"");
    ngx_mesh_line_or_dash(line, &a->host);
    ngx_mesh_line_text(line, "\" \"");
    ngx_mesh_line_or_dash(line, &a->upstream);
    ngx_mesh_line_text(line, "\" \"");
    ngx_mesh_line_or_dash(line, &a->peer);
    ngx_mesh_line_duration(line, "\" ", a->duration);
}


static ngx_int_t
ngx_mesh_access_resize(size_t size)
{
    u_char  *buffer;

    buffer = realloc(ngx_mesh_access.buffer, size);

    if (buffer == NULL) {
        return NGX_ERROR;
    }

    ngx_mesh_access.buffer = buffer;
    ngx_mesh_access.size = size;

    return NGX_OK;
}


/* Writes lines as long as that does not block; what is left stays. */
void
ngx_mesh_access_flush(void)
{
    size_t         len, done;
    u_char        *p;
    ssize_t        n;
    struct pollfd  fd;

    done = 0;

    while (done < ngx_mesh_access.len) {
        fd.fd = STDOUT_FILENO;
        fd.events = POLLOUT;

        if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT)) {
            break;
        }

        len = ngx_mesh_access.len - done;
        p = ngx_mesh_access.buffer + done;

        if (len > NGX_MESH_ACCESS_WRITE) {
            for (len = NGX_MESH_ACCESS_WRITE; len && p[len - 1] != '\n'; len--) { /* void */ }

            if (len == 0) {
                /* one long line goes in two pieces: in one it could block */
                len = NGX_MESH_ACCESS_WRITE;
            }
        }

        n = write(STDOUT_FILENO, p, len);

        if (n <= 0) {
            break;
        }

        done += n;
    }

    ngx_mesh_access.len -= done;
    ngx_memmove(ngx_mesh_access.buffer, ngx_mesh_access.buffer + done, ngx_mesh_access.len);

    if (ngx_mesh_access.len == 0 && ngx_mesh_access.size > NGX_MESH_ACCESS_BUFFER) {
        (void) ngx_mesh_access_resize(NGX_MESH_ACCESS_BUFFER);
    }

    if (done && ngx_mesh_access.lost) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "mesh: %ui lines of the access log were lost: whoever reads standard output is too slow",
                      ngx_mesh_access.lost);
        ngx_mesh_access.lost = 0;
    }
}


static void
ngx_mesh_access_flush_handler(ngx_event_t *ev)
{
    ngx_mesh_access_flush();

    if (ngx_mesh_access.len && !ngx_exiting) {
        ngx_add_timer(ev, NGX_MESH_ACCESS_RETRY);
    }
}


/* Whether the buffer has room for a line: written out, or grown, when it had none. */
static ngx_flag_t
ngx_mesh_access_room(void)
{
    if (ngx_mesh_access.size - ngx_mesh_access.len >= NGX_MESH_ACCESS_LINE) {
        return 1;
    }

    ngx_mesh_access_flush();

    if (ngx_mesh_access.size - ngx_mesh_access.len >= NGX_MESH_ACCESS_LINE) {
        return 1;
    }

    return ngx_mesh_access.size < NGX_MESH_ACCESS_LARGEST
           && ngx_mesh_access_resize(2 * ngx_mesh_access.size) == NGX_OK;
}


/* Adds a line; the format is not off. */
void
ngx_mesh_access_write(ngx_mesh_access_t *a)
{
    ngx_mesh_line_t  line;

    if (!ngx_mesh_access_room()) {
        ngx_mesh_access.lost++;
        return;
    }

    line.pos = ngx_mesh_access.buffer + ngx_mesh_access.len;
    line.end = line.pos + NGX_MESH_ACCESS_LINE - 1;

    if (ngx_mesh_access.format == NGX_MESH_ACCESS_JSON) {
        ngx_mesh_access_json(&line, a);

    } else {
        ngx_mesh_access_default(&line, a);
    }

    *line.pos++ = '\n';

    ngx_mesh_access.len = line.pos - ngx_mesh_access.buffer;

    if (!ngx_mesh_access.flush.timer_set) {
        ngx_add_timer(&ngx_mesh_access.flush, NGX_MESH_ACCESS_DELAY);
    }
}


/* `text`: room for NGX_SOCKADDR_STRLEN bytes. */
void
ngx_mesh_access_destination(ngx_mesh_access_t *a, ngx_mesh_connection_t *mc, u_char *text)
{
    if (mc->captured) {
        a->destination.data = text;
        a->destination.len = ngx_sock_ntop((struct sockaddr *) &mc->original, sizeof(struct sockaddr_storage), text,
                                           NGX_SOCKADDR_STRLEN, 1);
    }
}


/* It may be gone by now. */
void
ngx_mesh_access_endpoint(ngx_mesh_access_t *a, ngx_int_t endpoint)
{
    ngx_mesh_endpoint_t  *ep;

    ep = ngx_mesh_endpoint(endpoint);

    if (ep) {
        a->upstream = ep->name;

        if (a->outgoing) {
            a->peer = ep->identity;
        }
    }
}
