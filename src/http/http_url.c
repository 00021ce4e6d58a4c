/* SPDX-License-Identifier: MIT */
/* URLs: encoding, showing, following. */
#include <string.h>
#include <strings.h>

#include "http/http.h"
#include "http/http_int.h"

trawl_status tw_http_encode(struct tw_str *out, const char *text, size_t n, bool keep_slash,
                            struct trawl_error *err)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);
        const char coded[3] = {'%', digits[c >> 4], digits[c & 15]};
        TW_TRY(plain ? tw_str_putc(out, (char)c, err) : tw_str_append(out, coded, 3, err));
    }
    return TRAWL_OK;
}

/* The parts of a URL; freed with curl_free, those it lacks are NULL. */
struct parts {
    CURLU *url;
    char *scheme, *host, *port, *path;
};

static void parts_release(struct parts *p)
{
    curl_free(p->scheme);
    curl_free(p->host);
    curl_free(p->port);
    curl_free(p->path);
    curl_url_cleanup(p->url);
}

static bool parts_read(struct parts *p, const char *url)
{
    *p     = (struct parts){0};
    p->url = curl_url();
    if (p->url == NULL || curl_url_set(p->url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_SCHEME, &p->scheme, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_HOST, &p->host, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_PATH, &p->path, 0) != CURLUE_OK) {
        return false;
    }
    (void)curl_url_get(p->url, CURLUPART_PORT, &p->port, CURLU_NO_DEFAULT_PORT);
    return strcasecmp(p->scheme, "http") == 0 || strcasecmp(p->scheme, "https") == 0;
}

trawl_status tw_http_show(struct tw_str *out, const char *url, struct trawl_error *err)
{
    struct parts p;
    bool ok             = parts_read(&p, url);
    trawl_status status = ok ? tw_str_printf(out, err, "%s%s%s%s", p.host, p.port == NULL ? "" : ":",
                                             p.port == NULL ? "" : p.port, p.path)
                             : tw_str_puts(out, "(not a URL)", err);
    parts_release(&p);
    return status;
}

trawl_status tw_http_origin(struct tw_str *out, const char *url, struct trawl_error *err)
{
    struct parts p;
    bool ok             = parts_read(&p, url);
    trawl_status status = ok ? tw_str_printf(out, err, "%s://%s%s%s", p.scheme, p.host,
                                             p.port == NULL ? "" : ":", p.port == NULL ? "" : p.port)
                             : tw_fail(err, TRAWL_ERR_INVALID,
                                       "\"%.100s\" is no URL, expected http://host/ or https://host/", url);
    parts_release(&p);
    return status;
}

bool tw_http_same_origin(const char *a, const char *b)
{
    struct tw_str x, y;
    tw_str_init(&x, 0);
    tw_str_init(&y, 0);
    bool same = tw_http_origin(&x, a, NULL) == TRAWL_OK && tw_http_origin(&y, b, NULL) == TRAWL_OK &&
                strcasecmp(tw_str_text(&x), tw_str_text(&y)) == 0;
    tw_str_release(&x);
    tw_str_release(&y);
    return same;
}

/* Relative ones count from `url`. */
static trawl_status join(struct tw_str *out, const char *url, const char *location, struct trawl_error *err)
{
    char *whole = NULL;
    CURLU *u    = curl_url();
    bool ok     = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK;
    trawl_status status =
        ok ? tw_str_puts(out, whole, err) : tw_fail(err, TRAWL_ERR_FORMAT, "a redirect to what is no URL");
    curl_free(whole);
    curl_url_cleanup(u);
    return status;
}

trawl_status tw_http_resolve(struct tw_str *out, const char *url, const char *location, size_t n,
                             struct trawl_error *err)
{
    struct tw_str text;
    struct parts from, to;
    tw_str_init(&text, 0);
    trawl_status status = tw_str_append(&text, location, n, err);
    if (status == TRAWL_OK) {
        status = join(out, url, tw_str_text(&text), err);
    }
    tw_str_release(&text);
    TW_TRY(status);
    bool ok = parts_read(&from, url), found = parts_read(&to, tw_str_text(out));
    bool down = ok && found && strcasecmp(from.scheme, "https") == 0 && strcasecmp(to.scheme, "http") == 0;
    if (!found || down) {
        status =
            tw_fail(err, TRAWL_ERR_FORMAT, "%s%s: a redirect %s", ok ? from.host : "", ok ? from.path : "",
                    down ? "from https to http" : "to what is neither http nor https");
    }
    parts_release(&from);
    parts_release(&to);
    return status;
}
