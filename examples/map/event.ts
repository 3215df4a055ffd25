/** What a consumer tells of an airport. Dead letters come as events too; they have the airport itself as body. */
export interface AirportEvent {
  readonly outcome: "worked" | "failed";
  /** The consumer's name. */
  readonly by: string;
  readonly attempt: number;
}
