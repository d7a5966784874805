"""The studio's dashboard, and what people prefer of two versions. Of the store every pod says the same."""

from __future__ import annotations

from imagegraph.deploy.panels import Rows, lines, number
from imagegraph.deploy.promql import part

Z = 1.96  # holds 95 %


def rows(matchers: str, rate: str) -> Rows:
    """Returns what whoever runs a studio looks at.

    Args:
        matchers: of the releases that are meant.
        rate: the window of rates.
    """

    def stored(metric: str, by: str = "") -> str:
        labels = f"namespace,release{by and f',{by}'}"
        return f"max by ({labels}) (imagegraph_studio_{metric}{{{matchers}}})"

    def counted(metric: str, by: str, more: str = "", window: str = rate) -> str:
        labels = f"namespace,release{by and f',{by}'}"
        return f"sum by ({labels}) (rate(imagegraph_studio_{metric}{{{matchers}{more}}}[{window}]))"

    def within(metric: str, by: str, more: str = "", share: float = 0.95) -> str:
        return f"histogram_quantile({share}, {counted(f'{metric}_bucket', f'{by},le', more)})"

    users = f"sum(imagegraph_studio_users_active{{{matchers}}})"
    failed = ',state="failed"'
    # Events last as long as the job.
    asked = ',route!="/api/jobs/{id}/events"'
    queued = f'{matchers},state=~"queued|running"'
    hour = [counted("job_seconds_count", "", more, "1h") for more in (failed, "")]
    return {
        "Now": [
            number("People", "short", users),
            number("Jobs waiting", "short", f"sum({stored('queue_depth')})"),
            number("The oldest waits", "s", f"max({stored('queue_age_seconds')})", 60, 600),
            number("Jobs failed in an hour", "percentunit", f"max({part(*hour)})", 0.05, 0.2),
            number("Pictures", "short", f"sum({stored('pictures', 'kind')})"),
            number("Stored", "bytes", f"sum({stored('stored_bytes')})"),
        ],
        "Jobs": [
            lines(
                "Ended in a minute",
                "short",
                (f"60 * {counted('job_seconds_count', 'graph,state')}", "{{release}} {{graph}} {{state}}"),
            ),
            lines(
                "Waiting and running",
                "short",
                (
                    f"max by (namespace,release,graph,state) (imagegraph_studio_jobs{{{queued}}})",
                    "{{release}} {{graph}} {{state}}",
                ),
            ),
            lines(
                "Queue full to",
                "percentunit",
                (f"{stored('queue_depth')} / {stored('queue_limit')}", "{{release}}"),
                about="Beyond it, jobs are refused for a while.",
            ),
            lines(
                "Run for",
                "s",
                *(
                    (
                        within("job_seconds", "graph", share=share),
                        f"{{{{release}}}} {{{{graph}}}} {share:.0%}",
                    )
                    for share in (0.5, 0.95)
                ),
            ),
            lines("95 % wait for", "s", (within("job_wait_seconds", "graph"), "{{release}} {{graph}}")),
            lines(
                "Failed",
                "percentunit",
                (
                    part(*(counted("job_seconds_count", "graph", more) for more in (failed, ""))),
                    "{{release}} {{graph}}",
                ),
            ),
        ],
        "People": [
            lines("People", "short", (users, "in the last five minutes")),
            lines("Requests", "reqps", (counted("requests_total", "code"), "{{release}} {{code}}")),
            lines(
                "95 % answered within",
                "s",
                (within("request_seconds", "method", asked), "{{release}} {{method}}"),
                about="Events are left out; a POST that waits for its job is in.",
            ),
        ],
        "Store": [
            lines("Pictures", "short", (stored("pictures", "kind"), "{{release}} {{kind}}")),
            lines("Stored", "bytes", (stored("stored_bytes"), "{{release}}")),
            lines(
                "95 % of transactions within",
                "s",
                (within("database_seconds", "kind"), "{{release}} {{kind}}"),
                about="With the wait for their turn.",
            ),
            lines(
                "Ratings",
                "short",
                (
                    f"sum by (namespace,release,stars) ({stored('ratings', 'graph,version,stars')})",
                    "{{release}} {{stars}} stars",
                ),
                stacked=True,
            ),
        ],
    }


def preferences(matchers: str, arm: str, against: str) -> Rows:
    """Returns what people prefer of two versions, as blind pairs told.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), for the interval.
    """
    labels = f'{matchers},by="version",arm="{arm}",against="{against}"'

    def pairs(outcome: str) -> str:
        counted = f'imagegraph_studio_comparisons{{{labels},outcome="{outcome}"}}'
        return f"(sum(max by (namespace,release,graph) ({counted})) or vector(0))"

    won, decided = pairs("won"), f"({pairs('won')} + {pairs('lost')} > 0)"
    share = f"{won} / {decided}"
    middle = f"({share} + {Z**2 / 2:.4f} / {decided})"
    reach = f"{Z} * sqrt({share} * (1 - {share}) / {decided} + {Z**2 / 4:.4f} / {decided} ^ 2)"
    whole = f"(1 + {Z**2:.4f} / {decided})"
    outcomes = (
        ("won", "the new one"),
        ("lost", "the one before"),
        ("tied", "neither"),
        ("both_bad", "both bad"),
    )
    return {
        "People": [
            lines(
                "Prefer the new one",
                "percentunit",
                (f"({middle} + {reach}) / {whole}", "at most"),
                (share, "of blind pairs"),
                (f"({middle} - {reach}) / {whole}", "at least"),
                about="Of pairs that somebody decided in the studio, with the interval that holds 95 %.",
            ),
            lines("Chose", "short", *((pairs(outcome), legend) for outcome, legend in outcomes)),
        ]
    }
