/** Metrics of the process, in Prometheus format. Gauges are read from live state when scraped, so they cannot drift. */
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

/** Values come from fixed lists or configuration, never from clients: labels must stay few. */
export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(amount: number, labels?: Labels): void;
}

export interface Histogram {
  record(value: number, labels?: Labels): void;
}

export interface Metrics {
  /** `name` in snake_case with the prefix `warren_` and, for counters, the suffix `_total`; `help` says how to read it. */
  counter(name: string, help: string): Counter;
  /** Labels that `read` has named before and names no more are shown as 0. */
  gauge(
    name: string,
    help: string,
    read: () => number | readonly (readonly [number, Labels])[],
  ): void;
  /** `unit` is part of the name by convention; `boundaries` ascending, in that unit. */
  histogram(name: string, help: string, boundaries: readonly number[]): Histogram;
  /** The exposition text of all metrics. */
  scrape(): Promise<string>;
  close(): Promise<void>;
}

export function createMetrics(): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({ readers: [exporter] });
  const meter = provider.getMeter('warren');
  // `target_info` would show the command line and paths of the process.
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  const bare = (name: string) => name.replace(/_total$/, '');
  return {
    counter: (name, help) => meter.createCounter(bare(name), { description: help }),
    gauge(name, help, read) {
      const shown = new Map<string, Labels>();
      meter.createObservableGauge(name, { description: help }).addCallback((result) => {
        const value = read();
        const now = typeof value === 'number' ? [[value, {}] as const] : value;
        // The SDK repeats the last value of labels that are not observed any more: it would stand there for ever.
        for (const labels of shown.values()) result.observe(0, labels);
        for (const [one, labels] of now) {
          shown.set(JSON.stringify(labels), labels);
          result.observe(one, labels);
        }
      });
    },
    histogram: (name, help, boundaries) =>
      meter.createHistogram(name, {
        description: help,
        advice: { explicitBucketBoundaries: [...boundaries] },
      }),
    async scrape() {
      const { resourceMetrics } = await exporter.collect();
      return serializer.serialize(resourceMetrics);
    },
    close: () => provider.shutdown(),
  };
}
