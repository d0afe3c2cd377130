/** Waits for a condition that somebody else brings about, on a real clock. */

const pollMs = 10;

/** Runs `assertion` until it passes; after `deadlineMs` its last failure is the test's. Returns what it returned. */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  deadlineMs = 8_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
