/** The arrows of ARCHITECTURE.md, checked. test/architecture.test.ts proves that breaking one turns this red. */
const roots = '^cli/|^(test|bench|examples)/';
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: '^test/|^examples/[^/]+/public/' },
      to: {},
    },
    {
      name: 'contracts-import-nothing-of-ours',
      severity: 'error',
      from: { path: '^contracts/' },
      to: { pathNot: '^contracts/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'contracts-do-no-io',
      severity: 'error',
      from: { path: '^contracts/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|buffer|util)$' },
    },
    {
      name: 'runtime-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^runtime/' },
      to: { path: '^(contracts|broker|config|edge|router|cli|test)/' },
    },
    {
      name: 'config-knows-no-service',
      severity: 'error',
      from: { path: '^config/' },
      to: { path: '^(broker|edge|router|cli|test)/' },
    },
    {
      name: 'edge-not-router',
      severity: 'error',
      from: { path: '^edge/' },
      to: { path: '^(router|cli)/' },
    },
    {
      name: 'router-not-edge',
      severity: 'error',
      from: { path: '^router/' },
      to: { path: '^(edge|cli)/' },
    },
    {
      name: 'broker-knows-no-service',
      severity: 'error',
      from: { path: '^broker/' },
      to: { path: '^(config|edge|router|cli)/' },
    },
    {
      name: 'adapters-only-from-roots',
      severity: 'error',
      from: { pathNot: `${roots}|^broker/` },
      to: { path: '^broker/(amqp|memory|redis)/' },
    },
    {
      name: 'adapters-do-not-mix',
      severity: 'error',
      from: { path: '^broker/(amqp|memory|redis)/' },
      to: { path: '^broker/(amqp|memory|redis)/', pathNot: '^broker/$1/' },
    },
    {
      name: 'edge-sockets-know-no-use-case',
      severity: 'error',
      from: { path: '^edge/socket/' },
      to: { path: '^edge/(channels|delivery|api)/' },
    },
    {
      name: 'edge-use-cases-know-no-door',
      severity: 'error',
      from: { path: '^edge/(channels|delivery)/' },
      to: { path: '^edge/(api/|server)' },
    },
    {
      name: 'edge-cluster-and-webhooks-know-no-use-case',
      severity: 'error',
      from: { path: '^edge/(cluster|webhooks)/' },
      to: { path: '^edge/(channels|delivery|socket|api/|server)' },
    },
    {
      name: 'edge-authorizer-and-tokens-know-no-use-case',
      severity: 'error',
      from: { path: '^edge/(authorizer|tokens)/' },
      to: { path: '^edge/(channels|delivery|socket|cluster|api/|server)' },
    },
    {
      name: 'edge-use-cases-see-the-cluster-by-its-port',
      severity: 'error',
      from: { path: '^edge/(channels|delivery|api)/' },
      to: { path: '^edge/cluster/', pathNot: '^edge/cluster/port\\.ts$' },
    },
    {
      name: 'amqplib-in-one-place',
      severity: 'error',
      from: { pathNot: '^broker/amqp/|^(test|bench|examples)/' },
      to: { path: 'node_modules/amqplib' },
    },
    {
      name: 'ioredis-in-one-place',
      severity: 'error',
      from: { pathNot: '^broker/redis/|^(test|bench|examples)/' },
      to: { path: 'node_modules/ioredis' },
    },
    {
      name: 'redis-is-loaded-where-it-is-wanted',
      severity: 'error',
      from: { pathNot: '^broker/redis/|^(test|bench)/' },
      to: { path: '^broker/redis/', dynamic: false },
    },
    {
      name: 'ws-in-edge-doors-only',
      severity: 'error',
      from: { pathNot: '^edge/(socket/|server)|^(test|bench)/' },
      to: { path: 'node_modules/(@types/)?ws/' },
    },
    {
      name: 'express-in-api-only',
      severity: 'error',
      from: { pathNot: '^edge/api/|^runtime/|^(test|examples)/' },
      to: { path: 'node_modules/(@types/)?(express|passport|passport-jwt)/' },
    },
    {
      name: 'opossum-in-edge-webhooks-and-authorizer-only',
      severity: 'error',
      from: { pathNot: '^edge/(webhooks|authorizer)/' },
      to: { path: 'node_modules/(@types/)?opossum/' },
    },
    {
      name: 'otel-sdk-in-runtime-only',
      severity: 'error',
      from: { pathNot: '^runtime/|^(test|bench)/' },
      to: { path: 'node_modules/@opentelemetry/(?!api/)' },
    },
    {
      name: 'no-production-import-of-tests',
      severity: 'error',
      from: { pathNot: '^(test|bench)/' },
      to: { path: '^test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Pages of examples run in the browser as they are.
    exclude: { path: '^dist/|^examples/[^/]+/public/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { conditionNames: ['import', 'node', 'types'] },
  },
};
