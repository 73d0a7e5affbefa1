/* Reports from four threads, and tries what C can get wrong. Prints the status; says on which line it gave up if it does. */

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "deniable.h"

#define MUST(condition)                                                                      \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, deniable_error_text()); \
            return 1;                                                                        \
        }                                                                                    \
    } while (0)

enum { THREADS = 4, REPORTS = 10 };

static void *record(void *client) {
    for (int i = 0; i < REPORTS; i++) {
        if (deniable_record_flag(client, "slow", false) != DENIABLE_RESULT_OK) {
            return client;
        }
    }
    return NULL;
}

int main(int count, char **arguments) {
    MUST(count == 4);
    deniable_options options = {0};
    MUST(deniable_open(&options) == NULL && strstr(deniable_error_text(), "folder is null") != NULL);
    options.folder = arguments[1];
    options.endpoint = arguments[2];
    options.write_key = arguments[3];
    deniable_client *client = deniable_open(&options);
    MUST(client != NULL);
    MUST(deniable_open(&options) == NULL && strstr(deniable_error_text(), "another process") != NULL);

    MUST(deniable_record_flag(client, "slow", true) == DENIABLE_RESULT_NO_CONSENT);
    MUST(deniable_opt_in(client) == DENIABLE_RESULT_OK);

    deniable_property command = {.name = "command", .kind = DENIABLE_KIND_TEXT, .text = "add"};
    MUST(deniable_track(client, "ran", &command, 1) == DENIABLE_RESULT_OK);
    MUST(deniable_track(client, "ran", NULL, 0) == DENIABLE_RESULT_OK);
    MUST(deniable_track(client, "unheard", NULL, 0) == DENIABLE_RESULT_UNKNOWN);
    MUST(deniable_track(client, NULL, NULL, 0) == DENIABLE_RESULT_NULL_POINTER);
    MUST(deniable_track(client, "\xff", NULL, 0) == DENIABLE_RESULT_NOT_UTF8);
    MUST(deniable_record_number(client, "command", 7.5) == DENIABLE_RESULT_UNFIT);
    MUST(deniable_record_text(client, "favourite", "add") == DENIABLE_RESULT_ANSWERED_BY_DEVICE);
    MUST(deniable_segment(client, "none") == NULL && deniable_experiment_arm(client, "none") == NULL);

    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        MUST(pthread_create(&threads[i], NULL, record, client) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        MUST(pthread_join(threads[i], &failed) == 0 && failed == NULL);
    }
    MUST(deniable_flush(client, 300000) == DENIABLE_RESULT_OK);

    char *status = deniable_status(client);
    MUST(status != NULL);
    puts(status);
    deniable_free_text(status);
    MUST(deniable_close(client, 300000) == DENIABLE_RESULT_OK);
    return 0;
}
