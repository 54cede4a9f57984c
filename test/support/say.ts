/** A line for whoever reads the output of a test: a seed to run it again with, a measurement. The runner shows it when the test fails. */
export const say = (line: string): void => void process.stderr.write(`${line}\n`);
