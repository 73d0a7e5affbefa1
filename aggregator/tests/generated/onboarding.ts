// Typed wrappers of the events of registry 56fe1e2231d52725.
//
// Made by `deniable gen`: make it anew when the registry changes, and change nothing here.

/** What tracks events: a client of the package `deniable`, or anything that has its `track`. */
export interface Tracker<R = unknown> {
  track(name: string, properties?: Record<string, string | number | boolean>): R;
}

/** The events with their properties. Those that are left out are not tracked. */
export interface Events {
  /**
   * Asked: Does a new device activate within 67 days, by the device it is?
   * Asked: In which session does a new device activate, by the device it is?
   */
  "account_created": {
    "country_group"?: "latam" | "north_america" | "europe" | "apac" | "mea" | "other";
    "device"?: "Desktop" | "Android" | "iOS" | "other";
    "followers"?: number;
    "hear_source"?: "search" | "social" | "friend" | "video" | "other";
    "industry"?: "ecommerce" | "agency" | "education" | "creator" | "services" | "other";
    "initial_channel"?: "instagram" | "messenger" | "other";
    "traffic_source"?: "organic" | "paid_social" | "referral" | "partner" | "direct" | "other";
  };
  /**
   * Asked: Does a new device activate within 67 days?
   * Asked: Does a new device activate within 67 days, by the device it is?
   * Asked: In which session does a new device activate?
   * Asked: In which session does a new device activate, by the device it is?
   * Asked: Does a new device activate in its first session?
   * Asked: How many minutes pass from opening the onboarding to activation?
   * Asked: Did devices that activate in session 1, 2, later or never run the onboarding in their first session?
   * Asked: Which way did devices take through their first session that activate in session 1, 2, later or never?
   * Asked: Did devices that activate in session 1, 2, later or never try to publish in their first session?
   * Asked: Did devices that activate in session 1, 2, later or never see the tutorial in their first session?
   */
  "activated": Record<string, never>;
  "builder_opened": Record<string, never>;
  /**
   * Asked: How far does a new device come in its first session?
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "channel_connected": Record<string, never>;
  /**
   * Asked: How many minutes pass from opening the onboarding to activation?
   */
  "onboarding_opened": Record<string, never>;
  /**
   * Asked: Did devices that activate in session 1, 2, later or never run the onboarding in their first session?
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "onboarding_run": Record<string, never>;
  /**
   * Asked: Which way does a new device take through its first session?
   * Asked: Which way did devices take through their first session that activate in session 1, 2, later or never?
   */
  "page_viewed": {
    "area"?: "onboarding" | "trial" | "tutorial" | "connect" | "landing" | "other";
  };
  /**
   * Asked: Does a new device pay within 67 days?
   */
  "paid": {
    "usd"?: number;
  };
  "pro_enabled": Record<string, never>;
  /**
   * Asked: How far does a new device come in its first session?
   * Asked: Did devices that activate in session 1, 2, later or never try to publish in their first session?
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "publish_attempted": Record<string, never>;
  /**
   * Asked: How far does a new device come in its first session?
   */
  "publish_succeeded": Record<string, never>;
  /**
   * Asked: How far does a new device come in its first session?
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "questionnaire_shown": Record<string, never>;
  /**
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "trial_started": Record<string, never>;
  /**
   * Asked: How far does a new device come in its first session?
   * Asked: What do devices do next, in one of their moves in the first session?
   */
  "trigger_clicked": Record<string, never>;
  /**
   * Asked: What do devices do next, in one of their moves in the first session?
   * Asked: Did devices that activate in session 1, 2, later or never see the tutorial in their first session?
   */
  "tutorial_viewed": Record<string, never>;
}

/** The client, for events of this registry alone. */
export function typed<R>(client: Tracker<R>): TypedTracker<R> {
  return { track: (name, properties) => client.track(name, properties) };
}

/** A client that takes no other events, properties, labels and types than these. */
export interface TypedTracker<R = unknown> {
  track<E extends keyof Events>(name: E, properties?: Events[E]): R;
}
