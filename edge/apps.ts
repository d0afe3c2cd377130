/** The apps (tenants) that this edge serves, found by id or by key, each with its open connections counted. */
import type { AppConfig } from '../contracts/warren-config.ts';

export class App {
  readonly config: AppConfig;
  /** Open sockets of this app on this edge. */
  connections = 0;
  readonly #origins: ReadonlySet<string>;

  constructor(config: AppConfig) {
    this.config = config;
    this.#origins = new Set(config.allowedOrigins.map((origin) => origin.toLowerCase()));
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

export class Apps {
  readonly #byId = new Map<string, App>();
  readonly #byKey = new Map<string, App>();

  constructor(configs: readonly AppConfig[]) {
    for (const config of configs) {
      const app = new App(config);
      this.#byId.set(config.id, app);
      this.#byKey.set(config.key, app);
    }
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
