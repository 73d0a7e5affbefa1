// Typed wrappers of the events of registry c86b4707519fcc67.
//
// Made by `deniable gen`: make it anew when the registry changes, and change nothing here.

/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */
export interface Tracker<R = unknown> {
  track(name: string, properties?: Record<string, string | number | boolean>): R;
}

/** The events with their properties. Those that are left out are not tracked. */
export interface Events {
  /**
   * Asked: How many weeks after its install is a device active?
   */
  "app_opened": Record<string, never>;
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   */
  "bounced_at_dialog": Record<string, never>;
  /**
   * Asked: Is the sign-in button clicked, at each of its three places?
   */
  "button_clicked": Record<string, never>;
  "button_shown": Record<string, never>;
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   * Asked: How long does the dialog take to load, in milliseconds, on desktop and mobile?
   */
  "dialog_ready": {
    "load_ms"?: number;
    "platform"?: "desktop" | "mobile" | "other";
    "user_kind"?: "new" | "returning" | "other";
  };
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   */
  "email_entered": Record<string, never>;
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   */
  "email_verified": Record<string, never>;
  /**
   * Asked: Does a device see an error screen?
   * Asked: Which error screen does a device see first?
   */
  "error_shown": {
    "kind"?: "network" | "bad_password" | "verification_expired" | "server" | "other";
  };
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   */
  "password_created": Record<string, never>;
  /**
   * Asked: Which relying party does a device sign in to?
   */
  "rp_signin": {
    "host"?: string;
  };
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   * Asked: Does a dialog end with a sign-in?
   */
  "signed_in": Record<string, never>;
  /**
   * Asked: How far does a new user come in the dialog, with each of its two forms?
   */
  "verification_sent": Record<string, never>;
}

/** The client, for events of this registry alone. */
export function typed<R>(client: Tracker<R>): TypedTracker<R> {
  return { track: (name, properties) => client.track(name, properties) };
}

/** A client that takes no other events, properties, labels and types than these. */
export interface TypedTracker<R = unknown> {
  track<E extends keyof Events>(name: E, properties?: Events[E]): R;
}
