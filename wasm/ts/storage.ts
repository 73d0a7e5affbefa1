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
  /** The number of the commit that is stored; 0 if there is none, and -1 if all was erased since `load`. */
  commit(): Promise<number>;
  /** What is stored. */
  load(): Promise<Stored | undefined>;
  /** Puts a state in the place of that of the commit `before`, durably and in one step; false, and nothing done, if another one is there. */
  save(state: Stored, before: number): Promise<boolean>;
  /** Reads what was kept beside the state. */
  read(name: "catalog" | "aside" | "consent"): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Keeps something beside the state. */
  keep(name: "catalog" | "aside" | "consent", bytes: Uint8Array<ArrayBuffer>): Promise<void>;
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

/**
 * Opens the origin's IndexedDB, and tries whether it can be written, which a private window may refuse. All tabs that give one name
 * share one state.
 */
export async function openIndexedDb(name: string): Promise<Storage> {
  let database: IDBDatabase | undefined;
  /** What was loaded is no more, whatever other tabs wrote since by the same numbers. */
  let isErased = false;
  const open = () => new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open("deniable", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(KEPT);
    request.onsuccess = () => {
      // The browser or the person erases it under the page: what comes then begins anew.
      request.result.onclose = request.result.onversionchange = () => {
        request.result.close();
        database = undefined;
        isErased = true;
      };
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });

  const key = (what: string) => `${name} ${what}`;
  /** Does something in a transaction, and waits until it is durable. */
  const run = async <T>(mode: IDBTransactionMode, act: (kept: IDBObjectStore) => IDBRequest) => {
    const transaction = (database ??= await open()).transaction(KEPT, mode, { durability: "strict" });
    const request = act(transaction.objectStore(KEPT));
    return new Promise<T>((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  };
  const get = <T>(what: string) => run<T | undefined>("readonly", (kept) => kept.get(key(what)));
  const put = (what: string, value: unknown) => run<void>("readwrite", (kept) => kept.put(value, key(what)));

  // Nothing is left of it, for nobody has agreed yet that anything is kept.
  await run("readwrite", (kept) => (kept.put(true, key("tried")), kept.delete(key("tried"))));
  return {
    kind: "indexeddb",
    async commit() {
      const commit = (await get<number>("commit")) ?? 0;
      return isErased ? -1 : commit;
    },
    load: () => ((isErased = false), get("state")),
    async save(state, before) {
      let isSaved = false;
      await run("readwrite", (kept) => {
        const found = kept.get(key("commit"));
        found.onsuccess = () => {
          isSaved = (found.result ?? 0) === before;
          if (!isSaved) return;
          kept.put(state, key("state"));
          kept.put(state.commit, key("commit"));
        };
        return found;
      });
      return isSaved;
    },
    read: get,
    keep: put,
  };
}
