"""What must hold of time: the intervals, the log that witnesses them, the meters, the prices."""

# What each running or ended resource was to be charged, by the log that `begin` and `end` write.
_SEGMENTS = """
    SELECT c.resource_id, c.rates, c.at AS start,
           coalesce(lead(c.at) OVER (PARTITION BY c.resource_id ORDER BY c.seq), m.metered_until) AS until
      FROM billing_meterchange c LEFT JOIN billing_meter m USING (resource_id)
"""

CHECKS: dict[str, tuple[str, str]] = {
    "intervals_chain": (
        "the intervals of a resource follow one another: no second twice",
        "SELECT * FROM (SELECT resource_id, started_at, previous_end, lag(ended_at) OVER ("
        " PARTITION BY resource_id ORDER BY ended_at) AS before FROM billing_usageinterval) i"
        " WHERE previous_end IS DISTINCT FROM before OR started_at < before",
    ),
    "intervals_logged": (
        "every interval lies within a stretch of the log with the same rates",
        f"WITH s AS ({_SEGMENTS}) SELECT i.resource_id, i.started_at, i.ended_at FROM"  # noqa: S608
        " billing_usageinterval i"
        " WHERE NOT EXISTS (SELECT FROM s WHERE s.resource_id = i.resource_id AND s.rates = i.rates"
        " AND i.started_at >= s.start AND i.ended_at <= s.until)",
    ),
    "log_charged": (
        "every stretch of the log is covered by intervals to the last microsecond",
        f"WITH s AS ({_SEGMENTS}) SELECT s.resource_id, s.start, s.until, s.until - s.start"  # noqa: S608
        " - coalesce(sum(i.ended_at - i.started_at), interval '0') AS missing FROM s"
        " LEFT JOIN billing_usageinterval i ON i.resource_id = s.resource_id AND i.started_at >= s.start"
        " AND i.ended_at <= s.until WHERE s.rates <> '[]' GROUP BY s.resource_id, s.start, s.until"
        " HAVING coalesce(sum(i.ended_at - i.started_at), interval '0') <> s.until - s.start",
    ),
    "meters_at_end": (
        "a meter stands where its last interval ends, with the rates of the log, and will be cut again",
        "SELECT m.resource_id, m.metered_until, m.last_end FROM billing_meter m LEFT JOIN LATERAL ("
        " SELECT max(ended_at) AS e FROM billing_usageinterval i WHERE i.resource_id ="
        " m.resource_id) x ON true"
        " LEFT JOIN LATERAL (SELECT rates FROM billing_meterchange c WHERE c.resource_id = m.resource_id"
        " ORDER BY seq DESC LIMIT 1) c ON true"
        " WHERE m.parked_because = '' AND (m.last_end IS DISTINCT FROM x.e OR m.metered_until < x.e"
        " OR m.rates IS DISTINCT FROM c.rates OR (m.ended_at IS NULL) <> (m.next_cut_at IS NOT NULL))",
    ),
    "meters_parked": (
        "no meter is parked",
        "SELECT resource_id, parked_because FROM billing_meter WHERE parked_because <> ''",
    ),
    "prices_chain": (
        "the versions of a price follow one another without gap or overlap, the last one open",
        "SELECT * FROM (SELECT book, product, currency, valid_from, valid_until, previous_until,"
        " lag(valid_until) OVER w AS before, lead(valid_from) OVER w AS later FROM billing_priceversion"
        " WINDOW w AS (PARTITION BY book, product, currency ORDER BY valid_from)) v"
        " WHERE previous_until IS DISTINCT FROM before OR valid_until IS DISTINCT FROM later"
        " OR valid_from <> coalesce(before, valid_from)",
    ),
}
