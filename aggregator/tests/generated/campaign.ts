// Typed wrappers of the events of registry 71b395cc60a2cdd0.
//
// Made by `deniable gen`: make it anew when the registry changes, and change nothing here.

/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */
export interface Tracker<R = unknown> {
  track(name: string, properties?: Record<string, string | number | boolean>): R;
}

/** The events with their properties. Those that are left out are not tracked. */
export interface Events {
  /**
   * Asked: Does a device place a call?
   */
  "call_placed": Record<string, never>;
  /**
   * Asked: How far do visitors come: visit, issue page, sign-up, donation?
   * Asked: How far do visitors from each source come?
   * Asked: How many dollars is the first donation?
   * Asked: Does a device donate?
   * Asked: Does a device donate at least twice?
   */
  "donated": {
    "usd"?: number;
  };
  /**
   * Asked: How far do visitors come: visit, issue page, sign-up, donation?
   * Asked: How far do visitors from each source come?
   */
  "issue_viewed": Record<string, never>;
  /**
   * Asked: How far do visitors come: visit, issue page, sign-up, donation?
   * Asked: How far do visitors from each source come?
   * Asked: Which page sent the visitor?
   * Asked: Do subscribers click what stands at the top, with each of its two contents?
   * Asked: What kind of visitor is it?
   * Asked: Does a device visit both sites?
   */
  "page_viewed": {
    "referrer"?: string;
    "site"?: "main" | "project" | "other";
    "source"?: "direct" | "search" | "social" | "email" | "ad_network_a" | "ad_network_b" | "referral" | "other";
    "visitor_type"?: "first_time" | "returning" | "email_supporter" | "donor" | "other";
  };
  /**
   * Asked: Which issue moves visitors most?
   * Asked: Where do visitors place themselves?
   */
  "profile_answered": {
    "passion_issue"?: "funding_reform" | "climate" | "health" | "jobs" | "education" | "immigration" | "privacy" | "taxes" | "foreign_policy" | "other";
    "political_skew"?: "progressive" | "moderate" | "conservative" | "libertarian" | "other" | "undeclared";
  };
  /**
   * Asked: How far do visitors come: visit, issue page, sign-up, donation?
   * Asked: How far do visitors from each source come?
   */
  "signed_up": Record<string, never>;
  /**
   * Asked: Do subscribers click what stands at the top, with each of its two contents?
   */
  "slot_clicked": Record<string, never>;
}

/** The client, for events of this registry alone. */
export function typed<R>(client: Tracker<R>): TypedTracker<R> {
  return { track: (name, properties) => client.track(name, properties) };
}

/** A client that takes no other events, properties, labels and types than these. */
export interface TypedTracker<R = unknown> {
  track<E extends keyof Events>(name: E, properties?: Events[E]): R;
}
