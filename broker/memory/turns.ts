/**
 * Work that is put off to the next turn of the event loop: nothing is delivered or confirmed within the call that caused it,
 * and a stream of messages leaves sockets and timers their share of the process.
 */

export interface Turns {
  /** Runs `task` in the next turn, after all tasks that were put off before it. */
  later(task: () => void): void;
}

export function createTurns(): Turns {
  let tasks: (() => void)[] = [];
  const run = () => {
    const due = tasks;
    tasks = [];
    let at = 0;
    try {
      for (; at < due.length; at += 1) due[at]?.();
    } finally {
      // A task that threw is a bug and surfaces, but the tasks behind it belong to others.
      if (at < due.length) {
        tasks = [...due.slice(at + 1), ...tasks];
        if (tasks.length > 0) setImmediate(run);
      }
    }
  };
  return {
    later(task) {
      if (tasks.length === 0) setImmediate(run);
      tasks.push(task);
    },
  };
}
