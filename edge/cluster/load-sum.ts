/** What the other edges last said about each app, and the sums of it, ready to be read on every request. */
import type { Hello } from '../../contracts/edge-message.ts';
import type { AppId, EdgeId } from '../../contracts/ids.ts';
import type { ClusterLoad } from './port.ts';

const none: ClusterLoad = { connections: 0, apiEvents: 0 };

export class LoadSum {
  readonly #byEdge = new Map<EdgeId, Hello['load']>();
  readonly #sums = new Map<AppId, ClusterLoad>();

  of(app: AppId): ClusterLoad {
    return this.#sums.get(app) ?? none;
  }

  set(edge: EdgeId, load: Hello['load']): void {
    this.delete(edge);
    this.#byEdge.set(edge, load);
    for (const [app, connections, apiEvents] of load) this.#add(app, connections, apiEvents);
  }

  delete(edge: EdgeId): void {
    const load = this.#byEdge.get(edge);
    if (load === undefined) return;
    this.#byEdge.delete(edge);
    for (const [app, connections, apiEvents] of load) this.#add(app, -connections, -apiEvents);
  }

  #add(app: AppId, connections: number, apiEvents: number): void {
    const before = this.of(app);
    const sum = {
      connections: before.connections + connections,
      apiEvents: before.apiEvents + apiEvents,
    };
    if (sum.connections === 0 && sum.apiEvents === 0) this.#sums.delete(app);
    else this.#sums.set(app, sum);
  }
}
