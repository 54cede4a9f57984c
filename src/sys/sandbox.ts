export interface SandboxView {
  /** Namespace file to enter. */
  readonly netns: string;
  /** Makes mount (and UTS) namespaces of its own; needed for `files`, `hostname` and a right /sys. */
  readonly privateMounts: boolean;
  /** [source, target]: bind-mounted over the target. A target that is missing is skipped. */
  readonly files?: readonly (readonly [source: string, target: string])[];
  readonly hostname?: string;
}
/** Moves the calling thread (call it on the main thread, single use, before exec or spawn) into a sandbox. */
export declare function enterSandbox(view: SandboxView): void;
