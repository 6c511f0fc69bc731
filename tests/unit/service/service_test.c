#include "service/service.h"

#include "base/memory.h"
#include "log/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* ---- a service whose moods come from its configuration --------------------------------------- */

typedef struct {
    service_config_t service;
    char *mood;
    int64_t left; /* polls of is_drained until it says yes */
} example_config_t;

static const config_field_t example_fields[] = {
    SERVICE_CONFIG_FIELDS(example_config_t, ""),
    CONFIG_TEXT(example_config_t, mood, "fine", "ZPACS_TEST_MOOD", "how the service is"),
    CONFIG_NUMBER(example_config_t, left, "3", 0, 1000000, "ZPACS_TEST_LEFT", "work left"),
    CONFIG_END};

static status_t example_start(void *config, void **out_state)
{
    example_config_t *self = config;
    if (strcmp(self->mood, "broken") == 0)
        return (fail)(STATUS_UNAVAILABLE, "no disk"); /* past cmocka's macro */
    *out_state = self;
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    log_info("example.started", LOG_TEXT("keys", self->service.keys),
             LOG_NUMBER("descriptors", descriptors.rlim_cur));
    return STATUS_OK;
}

static void example_drain(void *state)
{
    (void)state;
    log_info("example.drain");
}

static bool example_is_drained(void *state)
{
    example_config_t *self = state;
    return self->left-- <= 0;
}

static void example_stop(void *state)
{
    (void)state;
    log_info("example.stop");
}

static status_t example_health(void *state)
{
    example_config_t *self = state;
    return strcmp(self->mood, "ill") == 0 ? (fail)(STATUS_UNAVAILABLE, "feels ill") : STATUS_OK;
}

static void example_write_mood(void *state, buffer_t *out_json)
{
    example_config_t *self = state;
    buffer_printf(out_json, "{\"mood\":\"%s\"}", self->mood);
}

static const service_page_t example_pages[] = {{"/mood", example_write_mood}, {NULL, NULL}};

static const service_t example = {.name = "example",
                                  .config = example_fields,
                                  .config_size = sizeof(example_config_t),
                                  .start = example_start,
                                  .drain = example_drain,
                                  .is_drained = example_is_drained,
                                  .stop = example_stop,
                                  .health = example_health,
                                  .pages = example_pages};

/* ---- running it in a process of its own ------------------------------------------------------ */

static char folder[] = "/tmp/zpacs-service-XXXXXX";
static char *admin_address;

typedef struct {
    pid_t pid;
    int output; /* the child's stdout and stderr */
    char text[16 * 1024];
    size_t length;
} child_t;

/* settings: "NAME=value" separated by spaces. */
static void set_environment(const char *settings)
{
    AUTO_FREE char *copy = memory_copy_text(settings);
    char *rest = copy;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        *equals = 0;
        setenv(word, equals + 1, 1);
    }
}

static child_t start(const char *settings, const char *option, const char *value)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child_t child = {.pid = fork(), .output = ends[0]};
    if (child.pid == 0) {
        char name[] = "zpacs-example";
        char *arguments[] = {name, (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL};
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        setenv("ZPACS_DATA", folder, 1);
        set_environment(settings);
        int code = service_main(&example, option ? (value ? 3 : 2) : 1, arguments);
        fflush(NULL);
        _exit(code);
    }
    close(ends[1]);
    return child;
}

static bool read_more(child_t *child, int wait_ms)
{
    struct pollfd waiting = {.fd = child->output, .events = POLLIN};
    if (poll(&waiting, 1, wait_ms) <= 0)
        return false;
    ssize_t got =
        read(child->output, child->text + child->length, sizeof child->text - 1 - child->length);
    if (got <= 0)
        return false;
    child->length += (size_t)got;
    return true;
}

static void wait_for(child_t *child, const char *wanted)
{
    while (!strstr(child->text, wanted))
        if (!read_more(child, 10000))
            fail_msg("'%s' did not come; there is: %s", wanted, child->text);
}

static int end(child_t *child)
{
    int result = 0;
    while (read_more(child, 10000))
        continue;
    assert_int_equal(waitpid(child->pid, &result, 0), child->pid);
    close(child->output);
    return WIFEXITED(result) ? WEXITSTATUS(result) : 1000 + WTERMSIG(result);
}

static int run(child_t *out_child, const char *settings, const char *option, const char *value)
{
    *out_child = start(settings, option, value);
    return end(out_child);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void starts_drains_and_stops(void **state)
{
    (void)state;
    child_t child = start("", NULL, NULL);
    wait_for(&child, "service.ready");
    kill(child.pid, SIGHUP);
    kill(child.pid, SIGTERM);
    assert_int_equal(end(&child), 0);
    static const char *const order[] = {"example.started", "service.ready", "service.draining",
                                        "example.drain",   "example.stop",  "service.stopped"};
    const char *from = child.text;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        from = strstr(from, order[i]);
        if (!from)
            fail_msg("'%s' is missing or not in order: %s", order[i], child.text);
    }
    AUTO_FREE char *key = memory_format("%s/keys/example.key", folder);
    struct stat info;
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void takes_as_many_descriptors_as_it_may(void **state)
{
    (void)state;
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    assert_true(before.rlim_max > 256);
    struct rlimit low = {256, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    child_t child = start("", NULL, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    wait_for(&child, "service.ready");
    kill(child.pid, SIGTERM);
    assert_int_equal(end(&child), 0);
    AUTO_FREE char *said =
        memory_format("\"descriptors\":%llu", (unsigned long long)before.rlim_max);
    assert_non_null(strstr(child.text, said));
}

static void draining_has_a_limit(void **state)
{
    (void)state;
    child_t child = start("ZPACS_TEST_LEFT=1000000 ZPACS_DRAIN_MS=100", NULL, NULL);
    wait_for(&child, "service.ready");
    kill(child.pid, SIGINT);
    assert_int_equal(end(&child), 0);
    assert_non_null(strstr(child.text, "service.drain_expired"));
    assert_non_null(strstr(child.text, "example.stop"));
}

static void a_second_signal_ends_at_once(void **state)
{
    (void)state;
    child_t child = start("ZPACS_TEST_LEFT=1000000 ZPACS_DRAIN_MS=600000", NULL, NULL);
    wait_for(&child, "service.ready");
    kill(child.pid, SIGTERM);
    wait_for(&child, "example.drain");
    kill(child.pid, SIGTERM);
    assert_int_equal(end(&child), 0);
    assert_null(strstr(child.text, "example.stop"));
}

static void exit_codes_say_whose_turn_it_is(void **state)
{
    (void)state;
    AUTO_FREE char *good = memory_format("%s/good.yaml", folder);
    AUTO_FREE char *bad = memory_format("%s/bad.yaml", folder);
    FILE *file = fopen(good, "w");
    fputs("mood: fine\nlog_level: debug\n", file);
    fclose(file);
    file = fopen(bad, "w");
    fputs("mood: fine\nmod: x\n", file);
    fclose(file);
    const struct {
        const char *name, *settings, *option, *value;
        int code;
        const char *said;
    } cases[] = {
        {"start fails", "ZPACS_TEST_MOOD=broken", NULL, NULL, 69, "no disk"},
        {"no folder for keys", "ZPACS_KEYS=/proc/none/keys", NULL, NULL, 69, "service.not_avail"},
        {"unknown key", "", "--config", bad, 78, "bad.yaml:2: unknown key 'mod'"},
        {"no such file", "", "--config", "/nonexistent.yaml", 78, "/nonexistent.yaml"},
        {"bad variable", "ZPACS_DRAIN_MS=soon", "--check", NULL, 78, "ZPACS_DRAIN_MS"},
        {"bad log level", "ZPACS_LOG_LEVEL=loud", "--check", NULL, 78, "log_level"},
        {"check", "", "--check", NULL, 0, "configuration is fine"},
        {"version", "", "--version", NULL, 0, "zpacs-example "},
        {"help", "", "--help", NULL, 0, "ZPACS_TEST_MOOD"},
        {"unknown option", "", "--nonsense", NULL, 78, "nonsense"},
        {"argument", "", "nonsense", NULL, 78, "nonsense"},
        {"admin port taken", "ZPACS_ADMIN=192.0.2.1:1", NULL, NULL, 69, "\"part\":\"admin\""},
        {"no health to ask", "", "--health", NULL, 1, "admin_address"},
        {"nobody to ask", "ZPACS_ADMIN=127.0.0.1:1", "--health", NULL, 1, "nobody answers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        child_t child;
        int code = run(&child, cases[i].settings, cases[i].option, cases[i].value);
        if (code != cases[i].code || !strstr(child.text, cases[i].said))
            fail_msg("%s: exit code %d: %s", cases[i].name, code, child.text);
    }
    child_t child = start("", "--config", good);
    wait_for(&child, "service.ready");
    kill(child.pid, SIGTERM);
    assert_int_equal(end(&child), 0);
}

static char *get_from(const char *host, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((uint16_t)atoi(strchr(admin_address, ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    AUTO_FREE char *question =
        memory_format("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    assert_int_equal(write(fd, question, strlen(question)), strlen(question));
    char *answer = memory_allocate(64 * 1024);
    size_t length = 0;
    ssize_t got = 0;
    while (length < 64 * 1024 - 1 && (got = read(fd, answer + length, 64 * 1024 - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    return answer;
}

static char *get(const char *path)
{
    return get_from("localhost", path);
}

static void pages_of_the_service_are_served(void **state)
{
    (void)state;
    static const struct {
        const char *host, *path, *http, *said;
    } cases[] = {
        {"localhost", "/mood", "HTTP/1.1 200", "{\"mood\":\"fine\"}"},
        {"LocalHost:1", "/mood", "HTTP/1.1 200", "{\"mood\":\"fine\"}"},
        {"localhost:1", "/mood", "HTTP/1.1 200", "{\"mood\":\"fine\"}"},
        {"127.0.0.1:1", "/mood", "HTTP/1.1 200", "{\"mood\":\"fine\"}"},
        {"[::1]:1", "/mood", "HTTP/1.1 200", "{\"mood\":\"fine\"}"},
        {"evil.example", "/mood", "HTTP/1.1 421", "ask by address"},
        {"127.0.0.1.evil.example", "/mood", "HTTP/1.1 421", "ask by address"},
        {"localhost.evil.example", "/mood", "HTTP/1.1 421", "ask by address"},
        {"evil.example", "/metrics", "HTTP/1.1 200", "zpacs_info"},
        {"localhost", "/%6dood", "HTTP/1.1 404", "NOT_FOUND"},
        {"localhost", "/mood/", "HTTP/1.1 404", "NOT_FOUND"},
    };
    AUTO_FREE char *settings = memory_format("ZPACS_ADMIN=%s", admin_address);
    child_t child = start(settings, NULL, NULL);
    wait_for(&child, "service.ready");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *answer = get_from(cases[i].host, cases[i].path);
        if (strncmp(answer, cases[i].http, 12) != 0 || !strstr(answer, cases[i].said))
            fail_msg("%s of %s: %s", cases[i].path, cases[i].host, answer);
    }
    kill(child.pid, SIGTERM);
    assert_int_equal(end(&child), 0);
}

static void health_and_metrics_are_served(void **state)
{
    (void)state;
    static const struct {
        const char *mood, *http;
        int code;
        const char *said;
    } cases[] = {{"fine", "HTTP/1.1 200", 0, "\"status\":\"OK\""},
                 {"ill", "HTTP/1.1 503", 1, "feels ill"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *settings =
            memory_format("ZPACS_ADMIN=%s ZPACS_TEST_MOOD=%s", admin_address, cases[i].mood);
        child_t child = start(settings, NULL, NULL), asked;
        wait_for(&child, "service.ready");
        assert_int_equal(run(&asked, settings, "--health", NULL), cases[i].code);
        AUTO_FREE char *health = get("/healthz");
        assert_memory_equal(health, cases[i].http, strlen(cases[i].http));
        assert_non_null(strstr(health, cases[i].said));
        AUTO_FREE char *metrics = get("/metrics");
        assert_memory_equal(metrics, "HTTP/1.1 200", 12);
        assert_non_null(strstr(metrics, "\nzpacs_info{service=\"example\",version=\""));
        assert_non_null(strstr(metrics, "\nprocess_resident_memory_bytes "));
        kill(child.pid, SIGTERM);
        assert_int_equal(end(&child), 0);
    }
}

/* A port nobody has now. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    close(fd);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    admin_address = memory_format("127.0.0.1:%d", free_port());
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const files[] = {"good.yaml", "bad.yaml", "keys/example.key",
                                        "keys/example.pub", "keys/allowed/example.pub"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        AUTO_FREE char *path = memory_format("%s/%s", folder, files[i]);
        unlink(path);
    }
    AUTO_FREE char *allowed = memory_format("%s/keys/allowed", folder);
    AUTO_FREE char *keys = memory_format("%s/keys", folder);
    free(admin_address);
    return rmdir(allowed) || rmdir(keys) || rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_drains_and_stops),
        cmocka_unit_test(takes_as_many_descriptors_as_it_may),
        cmocka_unit_test(draining_has_a_limit),
        cmocka_unit_test(a_second_signal_ends_at_once),
        cmocka_unit_test(exit_codes_say_whose_turn_it_is),
        cmocka_unit_test(health_and_metrics_are_served),
        cmocka_unit_test(pages_of_the_service_are_served),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
