/**
 * What `ip -j` prints, without what a device finds out by itself: carrier and operational state follow up to a second after a device is made or its last
 * port leaves, and an IPv6 address is tentative for a while. For comparing what a program did.
 */
export const withoutCarrier = (json: string): string =>
  json.replaceAll(/"(NO-CARRIER|LOWER_UP|linkdown)",?|"operstate":"\w+",?|"tentative":true,?/g, '');
