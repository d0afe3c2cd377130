/** The apps (tenants) that this edge serves, found by id or by key, each with its open connections counted. */
import type { AppConfig } from '../contracts/warren-config.ts';

/** One app. It stays the same object while its configuration is replaced, so sockets that are open see the new one at once. */
export class App {
  /** Open sockets of this app on this edge. */
  connections = 0;
  #config: AppConfig;
  #origins: ReadonlySet<string>;

  constructor(config: AppConfig) {
    this.#config = config;
    this.#origins = originsOf(config);
  }

  /** As it is now: read it anew wherever time may have passed. */
  get config(): AppConfig {
    return this.#config;
  }

  /** Takes the place of the configuration so far; the id stays. */
  configure(config: AppConfig): void {
    if (config.id !== this.#config.id) throw new Error('an app keeps its id');
    this.#config = config;
    this.#origins = originsOf(config);
  }

  /**
   * Exact scheme, host and port, or `*`. A request without an Origin does not come from a page and is not what the check is for;
   * `null` (sandboxed frames, files) is an origin that must be listed.
   */
  allowsOrigin(origin: string | undefined): boolean {
    if (origin === undefined) return true;
    return this.#origins.has('*') || this.#origins.has(origin.toLowerCase());
  }

  get allowsAnyOrigin(): boolean {
    return this.#origins.has('*');
  }
}

function originsOf(config: AppConfig): ReadonlySet<string> {
  return new Set(config.allowedOrigins.map((origin) => origin.toLowerCase()));
}

/** What became of the apps; each is in one list at most. */
export interface AppsChange {
  readonly added: readonly App[];
  /** Not found any more, by id or by key; their sockets belong closed with 4001. */
  readonly removed: readonly App[];
  /** Served before and not now; their sockets belong closed with 4003. */
  readonly disabled: readonly App[];
}

export class Apps {
  #byId: ReadonlyMap<string, App> = new Map();
  #byKey: ReadonlyMap<string, App> = new Map();

  constructor(configs: readonly AppConfig[]) {
    this.update(configs);
  }

  /**
   * Replaces the whole set in one step. An app of an id that is known keeps its object and its count of connections; where its key has
   * changed, only the new one finds it.
   *
   * @param configs ids and keys are unique
   */
  update(configs: readonly AppConfig[]): AppsChange {
    const before = this.#byId;
    const byId = new Map<string, App>();
    const byKey = new Map<string, App>();
    const added: App[] = [];
    const disabled: App[] = [];
    for (const config of configs) {
      let app = before.get(config.id);
      if (app === undefined) {
        app = new App(config);
        added.push(app);
      } else {
        if (app.config.enabled && !config.enabled) disabled.push(app);
        app.configure(config);
      }
      byId.set(config.id, app);
      byKey.set(config.key, app);
    }
    this.#byId = byId;
    this.#byKey = byKey;
    const removed = [...before.values()].filter((app) => !byId.has(app.config.id));
    return { added, removed, disabled };
  }

  byId(id: string): App | undefined {
    return this.#byId.get(id);
  }

  byKey(key: string): App | undefined {
    return this.#byKey.get(key);
  }

  /** The only app, where there is one. */
  get only(): App | undefined {
    return this.#byId.size === 1 ? this.all()[0] : undefined;
  }

  all(): readonly App[] {
    return [...this.#byId.values()];
  }
}
