#include "service/service.h"

#include "service/admin.h"
#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "wire/wire.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifndef ZPACS_VERSION
#define ZPACS_VERSION "0.1.0"
#endif

enum { EXIT_DONE = 0, EXIT_UNHEALTHY = 1, EXIT_NOT_AVAILABLE = 69, EXIT_CONFIGURATION = 78 };
enum { TICK_MS = 1000, DRAIN_TICK_MS = 20, TRIM_EVERY_MS = 10 * 1000, FREE_MAX = 16 << 20 };

const char *service_version(void)
{
    return ZPACS_VERSION;
}

/* ---- options ------------------------------------------------------------------------------- */

typedef enum { MODE_RUN, MODE_CHECK, MODE_HEALTH, MODE_VERSION, MODE_HELP, MODE_WRONG } run_mode_t;

typedef struct {
    run_mode_t mode;
    const char *config_path;
} arguments_t;

static arguments_t read_arguments(int argc, char **argv)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},   {"check", no_argument, NULL, MODE_CHECK},
        {"health", no_argument, NULL, MODE_HEALTH}, {"version", no_argument, NULL, MODE_VERSION},
        {"help", no_argument, NULL, MODE_HELP},     {NULL, 0, NULL, 0}};
    arguments_t arguments = {MODE_RUN, NULL};
    int option = 0;
    while ((option = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
        if (option == 'c')
            arguments.config_path = optarg;
        else if (option == '?')
            return (arguments_t){MODE_WRONG, NULL};
        else
            arguments.mode = (run_mode_t)option;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
        arguments.mode = MODE_WRONG;
    }
    return arguments;
}

static void print_help(const service_t *service)
{
    printf("zpacs-%s %s\n\n"
           "  --config FILE  configuration (YAML); without it defaults and environment\n"
           "  --check        check the configuration and exit\n"
           "  --health       ask the running process's /healthz and exit: 0 healthy, 1 not\n"
           "  --version\n\nKeys, environment variables, defaults:\n\n",
           service->name, service_version());
    for (const config_field_t *field = service->config; field->key; field++) {
        const char *dot = strrchr(field->key, '.');
        printf("  %-24s %-26s %s (default: %s)\n", dot ? dot + 1 : field->key,
               field->environment ? field->environment : "", field->help,
               *field->initial ? field->initial : "none");
    }
}

/* ---- configuration ------------------------------------------------------------------------- */

/* The keys that every service has, whose values the table alone cannot check or complete. */
static status_t complete_config(service_config_t *config)
{
    if (!*config->data)
        return fail(STATUS_INVALID, "key 'data' is empty");
    if (log_level_from_text(config->log_level) < 0)
        return fail(STATUS_INVALID,
                    "key 'log_level' is '%.40s', allowed are debug, info, warning, "
                    "error",
                    config->log_level);
    if (!*config->keys) {
        free(config->keys);
        config->keys = memory_format("%s/keys", config->data);
    }
    return STATUS_OK;
}

static status_t load_config(const service_t *service, const char *path, void *out_config)
{
    TRY(config_load(service->config, path, out_config));
    ((service_config_t *)out_config)->path = (char *)(uintptr_t)path;
    TRY(complete_config(out_config));
    return service->check ? service->check(out_config) : STATUS_OK;
}

/* ---- the loop ------------------------------------------------------------------------------ */

typedef struct {
    const service_t *service;
    void *state;
    admin_t *admin;
    int signal_fd;
    int64_t drain_ms;
} process_t;

/* Waits up to wait_ms for SIGTERM or SIGINT; SIGHUP is taken and ignored. */
static int next_signal(const process_t *process, int wait_ms)
{
    struct pollfd waiting = {.fd = process->signal_fd, .events = POLLIN};
    struct signalfd_siginfo info;
    if (poll(&waiting, 1, wait_ms) <= 0 ||
        read(process->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return 0;
    return info.ssi_signo == SIGHUP ? 0 : (int)info.ssi_signo;
}

static void tick(const process_t *process, int64_t *next_ms)
{
    if (clock_monotonic_ms() < *next_ms)
        return;
    if (process->service->loop_tick)
        process->service->loop_tick(process->state);
    *next_ms = clock_monotonic_ms() + TICK_MS;
}

/* The allocator keeps what a storm of small blocks has freed, for good, if nobody asks for it. */
static void give_memory_back(int64_t *next_ms)
{
    if (clock_monotonic_ms() < *next_ms)
        return;
    *next_ms = clock_monotonic_ms() + TRIM_EVERY_MS;
    if (mallinfo2().fordblks > FREE_MAX)
        malloc_trim(0);
}

static void serve(const process_t *process)
{
    int64_t next_tick_ms = clock_monotonic_ms() + TICK_MS, next_trim_ms = next_tick_ms;
    int number = 0;
    while (!number) {
        int64_t left_ms = next_tick_ms - clock_monotonic_ms();
        number = next_signal(process, left_ms > 0 ? (int)left_ms : 0);
        tick(process, &next_tick_ms);
        give_memory_back(&next_trim_ms);
    }
    log_info("service.draining", LOG_TEXT("signal", strsignal(number)),
             LOG_NUMBER("limit_ms", process->drain_ms));
}

/* The work under way ends, the time is over, or a second signal wants it now. */
static void drain(const process_t *process)
{
    const service_t *service = process->service;
    int64_t start_ms = clock_monotonic_ms(), next_tick_ms = start_ms + TICK_MS;
    admin_set_phase(process->admin, ADMIN_DRAINING, process->state);
    if (service->drain)
        service->drain(process->state);
    while (service->is_drained && !service->is_drained(process->state)) {
        if (clock_monotonic_ms() - start_ms >= process->drain_ms) {
            log_warning("service.drain_expired", LOG_NUMBER("limit_ms", process->drain_ms));
            return;
        }
        if (next_signal(process, DRAIN_TICK_MS)) {
            log_warning("service.ended_at_once");
            _exit(EXIT_DONE);
        }
        tick(process, &next_tick_ms);
    }
}

/* stop() may wait for a handler; a second signal must not wait with it. */
static void end_at_next_signal(void)
{
    static const int signals[] = {SIGTERM, SIGINT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        signal(signals[i], SIG_DFL);
        sigaddset(&set, signals[i]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int run_started(const process_t *process)
{
    admin_set_phase(process->admin, ADMIN_READY, process->state);
    log_info("service.ready", LOG_TEXT("version", service_version()), LOG_NUMBER("pid", getpid()));
    serve(process);
    drain(process);
    end_at_next_signal();
    admin_set_phase(process->admin, ADMIN_DRAINING, NULL);
    process->service->stop(process->state);
    log_info("service.stopped");
    return EXIT_DONE;
}

static int not_available(const char *what, status_t status)
{
    log_error("service.not_available", LOG_TEXT("part", what),
              LOG_TEXT("status", status_name(status)), LOG_TEXT("detail", fail_detail()));
    return EXIT_NOT_AVAILABLE;
}

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * As many descriptors as may be had: a shell's own limit is often 1024, and libzmq aborts when a peer that connects
 * to an ipc socket gets none. Nothing of ours calls select() with numbers that high.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(const service_t *service, void *config, int signal_fd)
{
    const service_config_t *common = config;
    process_t process = {.service = service, .signal_fd = signal_fd, .drain_ms = common->drain_ms};
    log_set_level((log_level_t)log_level_from_text(common->log_level));
    raise_descriptor_limit();

    status_t status = wire_keys_make(common->keys, service->name);
    if (status != STATUS_OK)
        return not_available("keys", status);
    /* before the admin port: what start() forks must not inherit its threads and sockets */
    status = service->start(config, &process.state);
    if (status != STATUS_OK)
        return not_available("start", status);
    const admin_service_t shown = {service->name, service_version(), service->health,
                                   service->pages};
    status = admin_start(common->admin_address, &shown, &process.admin);
    int code = EXIT_NOT_AVAILABLE;
    if (status == STATUS_OK) {
        code = run_started(&process);
    } else {
        not_available("admin", status);
        service->stop(process.state);
    }
    admin_stop(&process.admin);
    return code;
}

static int ask_health(const service_config_t *config)
{
    if (!*config->admin_address) {
        fprintf(stderr, "key 'admin_address' is empty: there is no health to ask for\n");
        return EXIT_UNHEALTHY;
    }
    if (admin_ask_health(config->admin_address) == STATUS_OK)
        return EXIT_DONE;
    fprintf(stderr, "%s\n", fail_detail());
    return EXIT_UNHEALTHY;
}

static int act(const service_t *service, const arguments_t *arguments, void *config, int signal_fd)
{
    if (load_config(service, arguments->config_path, config) != STATUS_OK) {
        if (arguments->mode == MODE_RUN)
            log_error("service.configuration", LOG_TEXT("detail", fail_detail()));
        else
            fprintf(stderr, "%s\n", fail_detail());
        return EXIT_CONFIGURATION;
    }
    switch (arguments->mode) {
    case MODE_CHECK:
        printf("configuration is fine\n");
        return EXIT_DONE;
    case MODE_HEALTH:
        return ask_health(config);
    default:
        return run(service, config, signal_fd);
    }
}

int service_main(const service_t *service, int argc, char **argv)
{
    int signal_fd = block_signals();
    const arguments_t arguments = read_arguments(argc, argv);
    log_open(service->name, LOG_INFO);
    switch (arguments.mode) {
    case MODE_WRONG:
        return EXIT_CONFIGURATION;
    case MODE_VERSION:
        printf("zpacs-%s %s\n", service->name, service_version());
        return EXIT_DONE;
    case MODE_HELP:
        print_help(service);
        return EXIT_DONE;
    default:
        break;
    }
    void *config = memory_allocate(service->config_size);
    int code = act(service, &arguments, config, signal_fd);
    config_destroy(service->config, config);
    free(config);
    close(signal_fd);
    return code;
}
