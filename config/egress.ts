/** The part under `egress`: what services hear of clients. */
import type { EgressConfig } from '../contracts/warren-config.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

const defaults: EgressConfig = { clientEvents: true, presence: false, occupancy: false };

/** The schema has checked all there is to check. */
export function readEgress(source: Source, shape: ShapeCheck): EgressConfig {
  if (!shape.sound(['egress'])) return defaults;
  return { ...defaults, ...(source.value['egress'] as Partial<EgressConfig> | undefined) };
}
