/** Exchanges and queues under `ingress`: where events come from besides the exchange of the settings. */
import type { Problem } from './problems.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawIngress {
  readonly exchanges?: readonly string[];
  readonly queues?: readonly string[];
}

export interface IngressSources {
  /** Empty where the file names none, or has problems there. */
  readonly exchanges: readonly string[];
  readonly queues: readonly string[];
  readonly problems: readonly Problem[];
}

/** AMQP's short string. */
const maxNameBytes = 255;

export function readIngressSources(source: Source, shape: ShapeCheck): IngressSources {
  const at = ['ingress'];
  const raw = shape.typed(at) ? (source.value['ingress'] as RawIngress | undefined) : undefined;
  const { exchanges = [], queues = [] } = raw ?? {};
  const problems = [
    ...nameProblems(source, 'exchanges', exchanges),
    ...nameProblems(source, 'queues', queues),
  ];
  return problems.length > 0
    ? { exchanges: [], queues: [], problems }
    : { exchanges, queues, problems };
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
