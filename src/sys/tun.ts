/** Makes a persistent device in the thread's namespace. @throws conflict when the name is taken by something else */
export declare function createTun(name: string, mode: 'tun' | 'tap', options?: { readonly owner?: number }): void;
/** Clears persistence, so the device goes away. @returns false when there was none */
export declare function removeTun(name: string, mode: 'tun' | 'tap'): boolean;
