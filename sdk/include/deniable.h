/* The C interface of deniable: private product analytics by local differential privacy.
 *
 * Made from sdk/src/ffi; do not edit. Texts are UTF-8 and end with a NUL. Every function can be called from any thread.
 * Build the library with
 *     cargo rustc --release --package deniable --features ffi --crate-type staticlib
 * (or cdylib), and link it with -lpthread -ldl -lm. */

#ifndef DENIABLE_H
#define DENIABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What became of a call: 0 if all is well; above 0 an answer that a program can expect; below 0 a mistake in the call or a client that
// cannot be opened, of which `deniable_error_text` says more.
enum deniable_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It was taken up, or done.
  DENIABLE_RESULT_OK = 0,
  // No event or metric of that name is declared. It was forgotten.
  DENIABLE_RESULT_UNKNOWN = 1,
  // There is no consent. It was forgotten.
  DENIABLE_RESULT_NO_CONSENT = 2,
  // The clock was never set, so there is no time to give it. It was forgotten.
  DENIABLE_RESULT_CLOCK_NOT_SET = 3,
  // A report would have passed a cap of the privacy budget.
  DENIABLE_RESULT_BUDGET_SPENT = 4,
  // The metric is past its last day.
  DENIABLE_RESULT_EXPIRED = 5,
  // This device answers other metrics.
  DENIABLE_RESULT_NOT_ROTATED_IN = 6,
  // The device answers this metric by itself, from events.
  DENIABLE_RESULT_ANSWERED_BY_DEVICE = 7,
  // The answer is of the wrong kind or outside what the metric can be.
  DENIABLE_RESULT_UNFIT = 8,
  // Something could not be sent now. It is tried again later.
  DENIABLE_RESULT_NOT_SENT = 9,
  // The state could not be written, so nothing may leave.
  DENIABLE_RESULT_NOT_WRITTEN = 10,
  // The time was over before all was done.
  DENIABLE_RESULT_TIMED_OUT = 11,
  // The client has no place for its state, so nothing is written or sent. `deniable_status` says why.
  DENIABLE_RESULT_NOT_WORKING = 12,
  // A pointer that must be given is null, or an array is too long to be one.
  DENIABLE_RESULT_NULL_POINTER = -1,
  // A text is not UTF-8.
  DENIABLE_RESULT_NOT_UTF8 = -2,
  // An argument cannot be used.
  DENIABLE_RESULT_INVALID = -3,
  // The client could not be opened.
  DENIABLE_RESULT_NOT_OPENED = -4,
  // The library failed. This is a fault of it, and the client may go on.
  DENIABLE_RESULT_PANICKED = -5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum deniable_result deniable_result;
#else
typedef int32_t deniable_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Whether the person has agreed.
enum deniable_consent
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nobody was asked yet. Nothing is kept and nothing reported.
  DENIABLE_CONSENT_PENDING = 0,
  // Yes.
  DENIABLE_CONSENT_GIVEN = 1,
  // No. Nothing is kept and nothing reported.
  DENIABLE_CONSENT_WITHDRAWN = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum deniable_consent deniable_consent;
#else
typedef int32_t deniable_consent;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Of which kind a property is.
enum deniable_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `flag` counts.
  DENIABLE_KIND_FLAG = 0,
  // `number` counts.
  DENIABLE_KIND_NUMBER = 1,
  // `text` counts.
  DENIABLE_KIND_TEXT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum deniable_kind deniable_kind;
#else
typedef int32_t deniable_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A client. What it holds is not for C to see.
//
// All functions may be called on it by any thread, several at a time, but for `deniable_close`, which must be the last.
typedef struct deniable_client deniable_client;

// What a program decides when it opens its client. Set all of it to zero, then what is needed. It is read during the call.
typedef struct {
  // The folder of the state, which is made if there is none, and which the client has for itself.
  const char *folder;
  // The address of the collector, as `https://reports.example`.
  const char *endpoint;
  // The write key of the collector's project, 32 hexadecimal digits; null for none.
  const char *write_key;
  // The catalog that the program brings; null if the collector gives it.
  const unsigned char *catalog;
  // The bytes of the catalog.
  size_t catalog_bytes;
  // Whether the collector's catalog takes the place of the one that the program brings.
  bool fetch_catalog;
  // A `deniable_consent`: what holds until `deniable_opt_in` or `deniable_opt_out` was called.
  int32_t consent;
  // Certificates of the authorities to trust, as PEM; null for those that browsers trust.
  const char *root_certificates;
  // Whether `http://` is allowed beyond this machine.
  bool plain_http;
} deniable_options;

// A property of an event.
typedef struct {
  // Its name.
  const char *name;
  // A `deniable_kind`.
  int32_t kind;
  // Yes or no.
  bool flag;
  // A number.
  double number;
  // A text.
  const char *text;
} deniable_property;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens a client, or gives null; `deniable_error_text` says why. End it with `deniable_close`.
//
// With a catalog that the collector gives, the first start waits for it, a minute at most.
//
// # Safety
// `options` is null or points to options, whose pointers are null or point to what they say.
deniable_client *deniable_open(const deniable_options *options);

// Takes up an event with `count` properties, which may be null if there are none.
//
// # Safety
// `client` is null or open. `event` is null or a text. `properties` is null or holds `count` of them, with texts in them.
deniable_result deniable_track(const deniable_client *client,
                               const char *event,
                               const deniable_property *properties,
                               size_t count);

// Takes up the view of a page or screen, with `count` properties.
//
// # Safety
// As of `deniable_track`.
deniable_result deniable_page(const deniable_client *client,
                              const char *name,
                              const deniable_property *properties,
                              size_t count);

// Takes up what is known of the person, as `count` properties. There is no place for an identifier, as none ever leaves.
//
// # Safety
// As of `deniable_track`.
deniable_result deniable_identify(const deniable_client *client,
                                  const deniable_property *properties,
                                  size_t count);

// Answers a metric by yes or no.
//
// # Safety
// `client` is null or open. `metric` is null or a text.
deniable_result deniable_record_flag(const deniable_client *client,
                                     const char *metric,
                                     bool answer);

// Answers a metric by a number.
//
// # Safety
// As of `deniable_record_flag`.
deniable_result deniable_record_number(const deniable_client *client,
                                       const char *metric,
                                       double answer);

// Answers a metric by a label or an open text.
//
// # Safety
// As of `deniable_record_flag`, and `answer` is null or a text.
deniable_result deniable_record_text(const deniable_client *client,
                                     const char *metric,
                                     const char *answer);

// Answers a metric by `count` names of its set.
//
// # Safety
// As of `deniable_record_flag`, and `names` is null or holds `count` texts.
deniable_result deniable_record_names(const deniable_client *client,
                                      const char *metric,
                                      const char *const *names,
                                      size_t count);

// Answers a metric, of those who have a number, by none.
//
// # Safety
// As of `deniable_record_flag`.
deniable_result deniable_record_nothing(const deniable_client *client, const char *metric);

// The person agrees. Waits until that is written, two seconds at most.
//
// # Safety
// `client` is null or open.
deniable_result deniable_opt_in(const deniable_client *client);

// The person does not agree, or no longer: events, answers, what waits and the secret are erased. Waits until that is written, two
// seconds at most.
//
// # Safety
// `client` is null or open.
deniable_result deniable_opt_out(const deniable_client *client);

// Forgets the person, say because another one logs in. Consent and what was spent stay.
//
// # Safety
// `client` is null or open.
deniable_result deniable_reset(const deniable_client *client);

// The arm of an experiment that this device drew, for ever; null without consent, or if there is no such experiment. Free it with
// `deniable_free_text`.
//
// # Safety
// `client` is null or open. `name` is null or a text.
char *deniable_experiment_arm(const deniable_client *client,
                              const char *name);

// The label of a segment or dimension that this device has now; null without consent, or if there is no such name. Free it with
// `deniable_free_text`.
//
// # Safety
// `client` is null or open. `name` is null or a text.
char *deniable_segment(const deniable_client *client,
                       const char *name);

// How the client is doing, as a JSON object; null if `client` is. It holds no answer and no secret. Free it with
// `deniable_free_text`.
//
// # Safety
// `client` is null or open.
char *deniable_status(const deniable_client *client);

// Lets all that waits leave now, and waits for it, but no longer than so many milliseconds.
//
// # Safety
// `client` is null or open.
deniable_result deniable_flush(const deniable_client *client, uint32_t timeout_milliseconds);

// Sends what is due, writes everything, ends the client and frees it, but waits no longer than so many milliseconds. The client is gone
// whatever the result is. What still waits for its random time leaves after the next start.
//
// # Safety
// `client` is null or open. No other call on it is under way, and none follows.
deniable_result deniable_close(deniable_client *client,
                               uint32_t timeout_milliseconds);

// What the last call of this thread that gave a result below 0, or null, has to say, in English; empty if there was none. It stays until
// this thread's next such call, and is not to be freed.
const char *deniable_error_text(void);

// Frees a text that the library gave away. Null is fine.
//
// # Safety
// `text` is null, or came from a function that says to free it so, and was not freed before.
void deniable_free_text(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DENIABLE_H */
