let controller: AbortController | null = null;

/** Aborts at the first SIGINT or SIGTERM. From the first call on these no longer end the process by themselves. */
export function interrupted(): AbortSignal {
  if (!controller) {
    const made = new AbortController();
    controller = made;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => made.abort());
  }
  return controller.signal;
}
