#ifndef ZPACS_TESTS_POSTGRES_FIXTURE_H
#define ZPACS_TESTS_POSTGRES_FIXTURE_H

/*
 * A private PostgreSQL cluster: Debian's binaries in a temporary folder, on a Unix socket there, as
 * an unprivileged user, with a password. It sorts texts unlike SQLite, so that what counts on an
 * order by bytes shows. It dies with the test; a program that was killed leaves its folder only.
 *
 *     postgres_fixture_t postgres;
 *     assert_true(postgres_fixture_start(&postgres));
 *     postgres_fixture_database(&postgres, "things", location, sizeof location);
 *     ...
 *     postgres_fixture_stop(&postgres);
 */
#include "base/clock.h"
#include "database/database.h"

#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POSTGRES_FIXTURE_PASSWORD "geheim7"
#define POSTGRES_FIXTURE          __attribute__((unused)) static

typedef struct {
    char folder[64], programs[128]; /* /tmp/zpacs-postgres.XXXXXX, /usr/lib/postgresql/15/bin */
    pid_t server;                   /* 0: not running */
} postgres_fixture_t;

/* Runs a program of PostgreSQL as somebody who is not root; its words go to <folder>/log. */
POSTGRES_FIXTURE pid_t postgres_fixture_run(const postgres_fixture_t *fixture, char **words)
{
    char program[192], log[96];
    snprintf(program, sizeof program, "%s/%s", fixture->programs, words[0]);
    snprintf(log, sizeof log, "%s/log", fixture->folder);
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGINT);
    if (!freopen(log, "a", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0 ||
        chdir(fixture->folder))
        _exit(126);
    words[0] = program; /* by its first word a program finds the others beside it */
    execv(program, words);
    _exit(127);
}

POSTGRES_FIXTURE bool postgres_fixture_ends_well(pid_t pid)
{
    int code = -1;
    return pid > 0 && waitpid(pid, &code, 0) == pid && WIFEXITED(code) && WEXITSTATUS(code) == 0;
}

/* The URI of a database of the cluster. */
POSTGRES_FIXTURE void postgres_fixture_uri(const postgres_fixture_t *fixture, const char *name,
                                           char *out_location, size_t size)
{
    snprintf(out_location, size, "postgresql://zpacs:" POSTGRES_FIXTURE_PASSWORD "@/%s?host=%s",
             name, fixture->folder);
}

POSTGRES_FIXTURE bool postgres_fixture_is_up(const postgres_fixture_t *fixture)
{
    char location[192];
    database_t *database = NULL;
    postgres_fixture_uri(fixture, "postgres", location, sizeof location);
    bool is_up = database_open(location, false, &database) == STATUS_OK;
    database_close(&database);
    return is_up;
}

/* Starts the server on the folder as it is, and waits until it answers. */
POSTGRES_FIXTURE bool postgres_fixture_resume(postgres_fixture_t *fixture)
{
    char *words[] = {"postgres",
                     "-D",
                     "data",
                     "-k",
                     fixture->folder,
                     "-c",
                     "listen_addresses=",
                     "-c",
                     "fsync=off",
                     "-c",
                     "max_connections=40",
                     "-c",
                     "shared_buffers=16MB",
                     NULL};
    int64_t end_ms = clock_monotonic_ms() + 60000;
    fixture->server = postgres_fixture_run(fixture, words);
    while (!postgres_fixture_is_up(fixture)) {
        /* One that was killed may still hold the folder: the new one ends, and is started again. */
        if (waitpid(fixture->server, NULL, WNOHANG) == fixture->server)
            fixture->server = postgres_fixture_run(fixture, words);
        if (clock_monotonic_ms() > end_ms)
            return false;
        usleep(50000);
    }
    return true;
}

/* SIGINT: connections are closed; SIGQUIT: as in a crash; SIGKILL. */
POSTGRES_FIXTURE void postgres_fixture_kill(postgres_fixture_t *fixture, int signal_number)
{
    if (fixture->server <= 0)
        return;
    (void)kill(fixture->server, signal_number);
    (void)waitpid(fixture->server, NULL, 0);
    fixture->server = 0;
}

POSTGRES_FIXTURE void postgres_fixture_stop(postgres_fixture_t *fixture)
{
    char command[96];
    postgres_fixture_kill(fixture, SIGINT);
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->folder);
    if (*fixture->folder && system(command) != 0)
        fprintf(stderr, "%s is left\n", fixture->folder);
    *fixture->folder = '\0';
}

POSTGRES_FIXTURE bool postgres_fixture_initialize(postgres_fixture_t *fixture)
{
    char password[96];
    snprintf(password, sizeof password, "%s/password", fixture->folder);
    FILE *file = fopen(password, "w");
    if (!file || fputs(POSTGRES_FIXTURE_PASSWORD "\n", file) < 0 || fclose(file) != 0)
        return false;
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (chown(fixture->folder, user->pw_uid, user->pw_gid) ||
                 chown(password, user->pw_uid, user->pw_gid)))
        return false;
    char *words[] = {"initdb",
                     "-D",
                     "data",
                     "--no-sync",
                     "-U",
                     "zpacs",
                     "--pwfile=password",
                     "--auth=scram-sha-256",
                     "--encoding=UTF8",
                     "--locale=C.UTF-8",
                     "--locale-provider=icu",
                     "--icu-locale=en-US",
                     NULL};
    return postgres_fixture_ends_well(postgres_fixture_run(fixture, words));
}

POSTGRES_FIXTURE bool postgres_fixture_start(postgres_fixture_t *fixture)
{
    glob_t found = {0};
    *fixture = (postgres_fixture_t){.folder = "/tmp/zpacs-postgres.XXXXXX"};
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0)
        snprintf(fixture->programs, sizeof fixture->programs, "%s",
                 found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    if (!*fixture->programs || !mkdtemp(fixture->folder)) {
        fprintf(stderr, "no /usr/lib/postgresql/*/bin: see scripts/packages\n");
        *fixture->folder = '\0';
        return false;
    }
    return postgres_fixture_initialize(fixture) && postgres_fixture_resume(fixture);
}

/* Makes a new, empty database and gives its URI. */
POSTGRES_FIXTURE bool postgres_fixture_database(const postgres_fixture_t *fixture, const char *name,
                                                char *out_location, size_t size)
{
    char location[192], sql[128];
    database_t *database = NULL;
    postgres_fixture_uri(fixture, "postgres", location, sizeof location);
    if (database_open(location, false, &database) != STATUS_OK)
        return false;
    snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
    status_t status = database_execute(database, sql);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    if (status == STATUS_OK)
        status = database_execute(database, sql);
    database_close(&database);
    postgres_fixture_uri(fixture, name, out_location, size);
    return status == STATUS_OK;
}

#endif
