/** sd_notify(3) to $NOTIFY_SOCKET (also abstract, `@...`). @returns false when the variable is not set. `READY=1\nSTATUS=...` */
export declare function notifySystemd(state: string, socket?: string): boolean;
