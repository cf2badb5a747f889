// A load generator for one HTTP/1.1 server on 127.0.0.1: N connections that are kept alive, each
// with one request at a time. Unlike most, it looks into every answer: status 200, whole body, and
// the text that the answer to this very request must hold (so answers that go to the wrong caller
// are found). One thread; written to cost less than any server that it measures.
//
//   serving_load PORT CONNECTIONS WARM_UP_SECONDS SECONDS REQUESTS_FILE
//
// REQUESTS_FILE: for each request a 32-bit length and its bytes, then a 32-bit length and the bytes
// that its answer must hold (none: any body). Prints one JSON object.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_REQUESTS = 65536, MOST_CONNECTIONS = 1024, MOST_LATENCIES = 20000000 };
enum { DRAIN_SECONDS = 15, SMALLEST_BUFFER = 65536 };

typedef struct {
    const char *bytes, *wanted;
    uint32_t size, wanted_size;
    size_t seen_at;  // where the wanted text was last time, and so probably is again
} request;

typedef struct {
    int socket;
    size_t current, written, filled, capacity, body_at, body_size;
    int is_chunked, head_read;
    double sent_at;
    char *buffer;
} connection;

static request requests[MOST_REQUESTS];
static connection connections[MOST_CONNECTIONS];
static size_t request_count, next_request;
static uint32_t *latencies;
static size_t latency_count;
static long served, completed, wrong_status, wrong_body, broken;
static char first_wrong[301];
static int port, epoll;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "serving_load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void read_requests(const char *name) {
    FILE *file = fopen(name, "rb");
    uint32_t size;
    if (!file) fail(name);
    while (request_count < MOST_REQUESTS && fread(&size, 4, 1, file) == 1) {
        request *made = &requests[request_count++];
        for (int part = 0; part < 2; part++) {
            if (part && fread(&size, 4, 1, file) != 1) fail("the requests file is cut off");
            char *bytes = malloc(size + 1);
            if (!bytes || fread(bytes, 1, size, file) != size) fail("the requests file is cut off");
            if (part) made->wanted = bytes, made->wanted_size = size;
            else made->bytes = bytes, made->size = size;
        }
    }
    fclose(file);
    if (!request_count) fail("no requests");
}

static void watch(connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->socket, &event)) fail("epoll_ctl");
}

static void send_request(connection *c) {
    const request *r = &requests[c->current];
    while (c->written < r->size) {
        ssize_t sent = send(c->socket, r->bytes + c->written, r->size - c->written,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EAGAIN) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;  // another error shows when the answer is read
        }
        c->written += (size_t)sent;
    }
}

static void begin_request(connection *c) {
    c->current = next_request++ % request_count;
    c->written = c->filled = c->body_at = c->body_size = 0;
    c->is_chunked = c->head_read = 0;
    c->sent_at = now();
    send_request(c);
}

static void open_connection(connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

// Reads status and headers once they are there; 0 while they are not.
static int read_head(connection *c) {
    char *end = memmem(c->buffer, c->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    c->body_at = (size_t)(end - c->buffer) + 4;
    for (char *line = memchr(c->buffer, '\n', c->body_at); line && line < end;
         line = memchr(line, '\n', (size_t)(c->buffer + c->body_at - line))) {
        line++;
        if (!strncasecmp(line, "content-length:", 15)) c->body_size = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) c->is_chunked = 1;
    }
    c->head_read = 1;
    return 1;
}

static int is_whole(connection *c) {
    if (!c->head_read && !read_head(c)) return 0;
    if (!c->is_chunked) return c->filled >= c->body_at + c->body_size;
    return c->filled >= c->body_at + 5 && !memcmp(c->buffer + c->filled - 5, "0\r\n\r\n", 5);
}

static void note_wrong(const connection *c) {
    if (!*first_wrong) {
        size_t size = c->filled < 300 ? c->filled : 300;
        memcpy(first_wrong, c->buffer, size);
    }
}

static void check_answer(connection *c) {
    request *r = &requests[c->current];
    if (c->filled < 12 || memcmp(c->buffer + 8, " 200", 4)) {
        wrong_status++;
        note_wrong(c);
        return;
    }
    size_t size = r->wanted_size;
    if (r->seen_at >= c->body_at && r->seen_at + size <= c->filled &&
        !memcmp(c->buffer + r->seen_at, r->wanted, size))
        return;
    char *found = memmem(c->buffer + c->body_at, c->filled - c->body_at, r->wanted, size);
    if (found) r->seen_at = (size_t)(found - c->buffer);
    else if (size) {
        wrong_body++;
        note_wrong(c);
    }
}

// Takes what has come in; 1 when the answer is complete, -1 when the connection is gone.
static int receive_answer(connection *c) {
    for (;;) {
        if (c->capacity - c->filled < SMALLEST_BUFFER / 2) {
            c->capacity = c->capacity ? 2 * c->capacity : SMALLEST_BUFFER;
            c->buffer = realloc(c->buffer, c->capacity + 1);
            if (!c->buffer) fail("memory");
        }
        size_t room = c->capacity - c->filled;
        ssize_t got = recv(c->socket, c->buffer + c->filled, room, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return 0;
        if (got <= 0) return -1;
        c->filled += (size_t)got;
        c->buffer[c->filled] = 0;
        if (is_whole(c)) return 1;
        if ((size_t)got < room) return 0;
    }
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile(double share) {
    if (!latency_count) return 0;
    size_t at = (size_t)(share * (double)(latency_count - 1) + 0.5);
    return latencies[at] / 1000.0;
}

static void print_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c < 32 || c > 126) putchar(' ');
        else putchar(c);
    }
    putchar('"');
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "serving_load PORT CONNECTIONS WARM_UP_SECONDS SECONDS REQUESTS_FILE\n");
        return 2;
    }
    port = atoi(arguments[1]);
    int open = atoi(arguments[2]), waiting = 0;
    if (open < 1 || open > MOST_CONNECTIONS) fail("connections");
    read_requests(arguments[5]);
    latencies = malloc(MOST_LATENCIES * sizeof *latencies);
    if (!latencies || (epoll = epoll_create1(0)) < 0) fail("epoll");
    for (int i = 0; i < open; i++) open_connection(&connections[i]);
    double begin = now() + atof(arguments[3]), end = begin + atof(arguments[4]);
    for (int i = 0; i < open; i++, waiting++) begin_request(&connections[i]);
    struct epoll_event events[MOST_CONNECTIONS];
    while (waiting && now() < end + DRAIN_SECONDS) {
        int ready = epoll_wait(epoll, events, MOST_CONNECTIONS, 100);
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                watch(c, EPOLL_CTL_MOD, EPOLLIN);
                send_request(c);
            }
            if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            int state = receive_answer(c);
            if (!state) continue;
            double at = now();
            if (state < 0) {
                // A server may close a connection between two requests, but must not often.
                broken++;
                close(c->socket);
                waiting--;
                if (at >= end || broken > 1000) continue;
                open_connection(c);
                begin_request(c);
                waiting++;
                continue;
            }
            served++;
            check_answer(c);
            if (at >= begin && at < end) {
                completed++;
                if (latency_count < MOST_LATENCIES)
                    latencies[latency_count++] = (uint32_t)((at - c->sent_at) * 1e6);
            }
            if (at < end) begin_request(c);
            else waiting--;
        }
    }
    qsort(latencies, latency_count, sizeof *latencies, ascending);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    printf("{\"requests\": %ld, \"served\": %ld, \"per_second\": %.2f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"wrong_status\": %ld, \"wrong_body\": %ld, \"broken\": %ld, "
           "\"unanswered\": %d, \"load_cpu_seconds\": %.3f, \"first_wrong\": ",
           completed, served, (double)completed / atof(arguments[4]), quantile(0.5), quantile(0.99),
           wrong_status, wrong_body, broken, waiting, cpu);
    print_text(first_wrong);
    printf("}\n");
    return 0;
}
