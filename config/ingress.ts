/** The part under `ingress`: where events come from besides the exchange of the settings. */
import type { IngressConfig } from '../contracts/warren-config.ts';
import type { Problem } from './problems.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawIngress {
  readonly exchanges?: readonly string[];
  readonly queues?: readonly string[];
}

export interface Ingress {
  /** Absent where the file has no such part, or one with problems. */
  readonly ingress?: IngressConfig;
  readonly problems: readonly Problem[];
}

/** AMQP's short string. */
const maxNameBytes = 255;

export function readIngress(source: Source, shape: ShapeCheck): Ingress {
  const raw = source.value['ingress'] as RawIngress | undefined;
  if (raw === undefined || !shape.typed(['ingress'])) return { problems: [] };
  const problems = [
    ...nameProblems(source, 'exchanges', raw.exchanges ?? []),
    ...nameProblems(source, 'queues', raw.queues ?? []),
  ];
  if (problems.length > 0 || !shape.sound(['ingress'])) return { problems };
  return { problems, ingress: { exchanges: raw.exchanges ?? [], queues: raw.queues ?? [] } };
}

function nameProblems(
  source: Source,
  key: 'exchanges' | 'queues',
  names: readonly string[],
): Problem[] {
  return names.flatMap((name, at) => {
    const message = nameProblem(name);
    return message === undefined ? [] : [source.problem(['ingress', key, at], message)];
  });
}

function nameProblem(name: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
  if (!name.isWellFormed() || /[\0-\x1f\x7f]/.test(name)) {
    return 'holds a character that a name cannot have';
  }
  const bytes = Buffer.byteLength(name, 'utf8');
  return bytes > maxNameBytes
    ? `is ${bytes} bytes long, AMQP allows ${maxNameBytes} for a name`
    : undefined;
}
