/* Where a client keeps its state: IndexedDB, shared by the tabs of an origin, or memory. */

/** What is stored: a state, and the number of the commit that wrote it. */
export interface Stored {
  commit: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** A place for one state. A program that has files can bring its own. */
export interface Storage {
  /** What a status calls it. */
  readonly kind: string;
  /** The number of the commit that is stored; 0 if there is none. */
  commit(): Promise<number>;
  /** What is stored. */
  load(): Promise<Stored | undefined>;
  /** Puts a state in the place of that of the commit `before`, durably and in one step; false, and nothing done, if another one is there. */
  save(state: Stored, before: number): Promise<boolean>;
  /** Reads what was kept beside the state. */
  read(name: "catalog" | "aside"): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Keeps something beside the state. */
  keep(name: "catalog" | "aside", bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** A place that is gone when the page is. */
export class MemoryStorage implements Storage {
  readonly kind = "memory";
  #stored: Stored | undefined;
  readonly #beside = new Map<string, Uint8Array<ArrayBuffer>>();

  async commit(): Promise<number> {
    return this.#stored?.commit ?? 0;
  }

  async load(): Promise<Stored | undefined> {
    return this.#stored;
  }

  async save(state: Stored, before: number): Promise<boolean> {
    if ((await this.commit()) !== before) return false;
    this.#stored = state;
    return true;
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#beside.get(name);
  }

  async keep(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#beside.set(name, bytes);
  }
}

const KEPT = "kept";

/** The origin's IndexedDB. All tabs that give one name share one state. */
export class IndexedDbStorage implements Storage {
  readonly kind = "indexeddb";
  readonly #database: IDBDatabase;
  readonly #name: string;

  private constructor(database: IDBDatabase, name: string) {
    this.#database = database;
    this.#name = name;
  }

  /** Opens it, and tries whether it can be written, which a private window may refuse. */
  static async open(name: string): Promise<IndexedDbStorage> {
    const request = indexedDB.open("deniable", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(KEPT);
    const database = await done(request);
    const storage = new IndexedDbStorage(database, name);
    database.onversionchange = () => database.close();
    await storage.#run("readwrite", (kept) => kept.put(true, storage.#key("tried")));
    return storage;
  }

  async commit(): Promise<number> {
    return ((await this.#get("commit")) as number | undefined) ?? 0;
  }

  async load(): Promise<Stored | undefined> {
    return (await this.#get("state")) as Stored | undefined;
  }

  async save(state: Stored, before: number): Promise<boolean> {
    const transaction = this.#database.transaction(KEPT, "readwrite", { durability: "strict" });
    const kept = transaction.objectStore(KEPT);
    const found = ((await done(kept.get(this.#key("commit")))) as number | undefined) ?? 0;
    if (found !== before) {
      transaction.abort();
      return false;
    }
    kept.put(state, this.#key("state"));
    kept.put(state.commit, this.#key("commit"));
    await finished(transaction);
    return true;
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return (await this.#get(name)) as Uint8Array<ArrayBuffer> | undefined;
  }

  keep(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#run("readwrite", (kept) => kept.put(bytes, this.#key(name)));
  }

  #get(what: string): Promise<unknown> {
    return done(this.#database.transaction(KEPT, "readonly").objectStore(KEPT).get(this.#key(what)));
  }

  async #run(mode: IDBTransactionMode, act: (kept: IDBObjectStore) => unknown): Promise<void> {
    const transaction = this.#database.transaction(KEPT, mode, { durability: "strict" });
    act(transaction.objectStore(KEPT));
    await finished(transaction);
  }

  #key(what: string): string {
    return `${this.#name} ${what}`;
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
