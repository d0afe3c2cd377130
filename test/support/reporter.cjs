/**
 * Mocha's spec reporter plus a last line for machines, `N passed, N failed, N skipped`, and the reason of every skipped test.
 * CommonJS, because mocha loads reporters with `require`.
 */
const { Base, Spec } = require('mocha').reporters;

/** Where test/support/skip.ts leaves the reason, on the test or on a suite above it. */
const reasonKey = Symbol.for('warren.skip-reason');

function reasonOf(test) {
  for (let at = test; at !== undefined; at = at.parent) {
    if (at[reasonKey] !== undefined) return at[reasonKey];
  }
  return 'no reason given';
}

class Reporter extends Spec {
  constructor(runner, options) {
    super(runner, options);
    this.skipped = [];
    runner.on('pending', (test) => this.skipped.push(test));
  }

  epilogue() {
    super.epilogue();
    for (const test of this.skipped) {
      Base.consoleLog(`skipped: ${test.fullTitle()} (${reasonOf(test)})`);
    }
    const { passes, failures, pending } = this.stats;
    Base.consoleLog(`${passes} passed, ${failures} failed, ${pending} skipped`);
  }
}

module.exports = Reporter;
