// Typed wrappers of the events of registry d363739dbd0572b3.
//
// Made by `deniable gen`: make it anew when the registry changes, and change nothing here.

/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */
export interface Tracker<R = unknown> {
  track(name: string, properties?: Record<string, string | number | boolean>): R;
}

/** The events with their properties. Those that are left out are not tracked. */
export interface Events {
  /**
   * Asked: Was there a login from a phone this month?
   * Asked: Is it active on the day, and is that its first day of the week, of the month or ever?
   * Asked: Was the account made this month?
   */
  "account_login": {
    "mobile"?: boolean;
    "sign_up"?: boolean;
  };
  /**
   * Asked: How many services were used this month?
   * Asked: Is it active on the day, and is that its first day of the week, of the month or ever?
   * Asked: Which services were used this month?
   * Asked: Was more than one service used this month?
   */
  "service_used": {
    "service"?: "sync" | "hello" | "readinglist" | "other";
  };
}

/** The client, for events of this registry alone. */
export function typed<R>(client: Tracker<R>): TypedTracker<R> {
  return { track: (name, properties) => client.track(name, properties) };
}

/** A client that takes no other events, properties, labels and types than these. */
export interface TypedTracker<R = unknown> {
  track<E extends keyof Events>(name: E, properties?: Events[E]): R;
}
