/** Hot reload: reads warren.yaml anew and hands it to the roles that can take it, all of it or nothing. */
import { isBuiltInApp } from '../config/apps.ts';
import { type LoadedFiles, loadConfigFiles, readRegularFile } from '../config/config-files.ts';
import type { ConfigSettings } from '../config/load.ts';
import { problemLines } from '../config/problems.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import type { Role } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { partsForRestart, type RoleName, summarizeApps } from './config-change.ts';

/** A role that may take up a new configuration while it runs. */
export interface ReloadableRole extends Role {
  /**
   * Takes what it works by, but for `auth`. The configuration has been checked; a failure is a bug, and leaves the old one in use. A role
   * that needs the broker for it takes it up by itself when it can, and tells the log.
   */
  reload?(config: WarrenConfig): void | Promise<void>;
}

export interface ReloaderOptions {
  readonly settings: ConfigSettings;
  /** What the roles were started with. */
  readonly started: WarrenConfig;
  /** The files that came from. */
  readonly files: LoadedFiles;
  readonly roles: readonly { readonly name: RoleName; readonly role: ReloadableRole }[];
  readonly log: Log;
  readonly metrics: Metrics;
}

/** `signal` wants an answer in the log even where nothing has changed. */
export type ReloadCause = 'signal' | 'change';

type Outcome = 'applied' | 'unchanged' | 'refused' | 'failed';

export class Reloader {
  readonly #options: ReloaderOptions;
  readonly #count: (outcome: Outcome) => void;
  /** The configuration in use and the digest of the files that it came from. */
  #config: WarrenConfig;
  #digest: string;
  /** Files that the last attempt asked for. */
  #paths: readonly string[];
  #found: boolean;
  #successful = true;
  #running: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#config = options.started;
    this.#digest = options.files.digest;
    this.#paths = options.files.paths;
    this.#found = options.files.found;
    const reloads = options.metrics.counter(
      'warren_config_reloads_total',
      'Attempts to reload warren.yaml, by outcome: refused means that the file has a problem, failed that a role did not take it',
    );
    this.#count = (outcome) => reloads.add(1, { outcome });
    options.metrics.gauge(
      'warren_config_last_reload_successful',
      '0 while warren.yaml, as it was last read, is not what runs: the log says why',
      () => Number(this.#successful),
    );
  }

  /** What to look at for changes: warren.yaml, its secret files and its schemas, whether they exist or not. */
  get paths(): readonly string[] {
    return this.#paths;
  }

  /**
   * Reads the files and hands them to the roles where they hold another configuration. Never rejects: the outcome is in the log and
   * in the metrics. Calls while one is at work come to one more after it.
   */
  reload(cause: ReloadCause): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#attempt(cause).finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined;
      return this.reload(cause);
    });
    return this.#waiting;
  }

  /** Nothing is read or handed over from now on. */
  stop(): void {
    this.#stopped = true;
  }

  async #attempt(cause: ReloadCause): Promise<void> {
    if (this.#stopped) return;
    const { log, settings } = this.#options;
    const files = this.#load();
    this.#paths = files.paths;
    this.#found ||= files.found;
    const { result } = files;
    if (!result.ok) {
      this.#ended('refused');
      log.error(
        { cause, problems: problemLines(result.problems) },
        'warren.yaml has problems: the configuration in use stays',
      );
      return;
    }
    if (files.digest === this.#digest) {
      const worthALine = cause === 'signal' || !this.#successful;
      this.#ended('unchanged');
      if (worthALine) log.info({ cause }, 'warren.yaml holds what is in use');
      return;
    }
    try {
      for (const { role } of this.#options.roles) await role.reload?.(result.config);
    } catch (error) {
      this.#ended('failed');
      log.error({ cause, err: error }, 'a new configuration could not be taken up');
      return;
    }
    const apps = summarizeApps(this.#config.apps, result.config.apps);
    this.#config = result.config;
    this.#digest = files.digest;
    this.#ended('applied');
    log.info({ cause, file: settings.configPath, apps }, 'warren.yaml was reloaded');
    this.#warn(result.config, problemLines(result.warnings));
  }

  #load(): LoadedFiles {
    const { settings } = this.#options;
    return loadConfigFiles(
      {
        ...settings,
        // A file that was there once and is gone is a mistake, not an empty one.
        configPathGiven: settings.configPathGiven || this.#found,
        keepsListedApps: !this.#config.apps.some(isBuiltInApp),
      },
      readRegularFile,
    );
  }

  #warn(config: WarrenConfig, warnings: readonly string[]): void {
    const { log, roles, started } = this.#options;
    if (warnings.length > 0) log.warn({ warnings }, 'warren.yaml may not mean what it says');
    const parts = roles.flatMap(({ name, role }) =>
      partsForRestart(name, role.reload !== undefined, started, config),
    );
    if (parts.length > 0) {
      log.warn({ parts }, 'changed in warren.yaml, but in use only after a restart');
    }
  }

  #ended(outcome: Outcome): void {
    this.#successful = outcome === 'applied' || outcome === 'unchanged';
    this.#count(outcome);
  }
}
