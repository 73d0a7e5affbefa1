// Typed wrappers of the events of registry 9fb7648db954b5e6.
//
// Made by `deniable gen`: make it anew when the registry changes, and change nothing here.

/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */
export interface Tracker<R = unknown> {
  track(name: string, properties?: Record<string, string | number | boolean>): R;
}

/** The events with their properties. Those that are left out are not tracked. */
export interface Events {
  /**
   * Asked: Does it sign * / up?
   * Asked: #![forbid(unsafe_code)]
   */
  "Sign Up!": {
    "__proto__"?: boolean;
    "first name"?: string;
    "first-name"?: string;
    "self"?: boolean;
    "size"?: number;
    "type"?: "self" | "Self" | "-1" | "1" | "*/ // \"quoted\" \\ ★" | "other";
  };
  "new\nline": Record<string, never>;
  "property": Record<string, never>;
  /**
   * Asked: Does it sign * / up?
   * Asked: #![forbid(unsafe_code)]
   */
  "sign": {
    "up"?: "a" | "b" | "other";
  };
  "sign-up": Record<string, never>;
  "sign_up": Record<string, never>;
}

/** The client, for events of this registry alone. */
export function typed<R>(client: Tracker<R>): TypedTracker<R> {
  return { track: (name, properties) => client.track(name, properties) };
}

/** A client that takes no other events, properties, labels and types than these. */
export interface TypedTracker<R = unknown> {
  track<E extends keyof Events>(name: E, properties?: Events[E]): R;
}
