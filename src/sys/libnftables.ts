export interface NftResult {
  /** 0 = done. */
  readonly rc: number;
  readonly output: string;
  readonly error: string;
}
/** One libnftables context; belongs to the thread and the namespace it was made in. */
export interface Nft extends Disposable {
  /** Runs commands (nft text or JSON) as one transaction. @param json the output is JSON (NFT_CTX_OUTPUT_JSON) */
  readonly run: (commands: string, json?: boolean) => NftResult;
}
/** null and why when libnftables.so.1 is not installed. */
export declare function openNft(): { readonly nft: Nft; readonly reason?: undefined } | { readonly nft: null; readonly reason: string };
