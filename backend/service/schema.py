"""The queue's tables, as the steps that lead from an empty file to today's."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        request TEXT NOT NULL,
        retry_interrupted INTEGER NOT NULL,
        created_at REAL NOT NULL,
        state TEXT NOT NULL,
        revision INTEGER NOT NULL,
        started_at REAL,
        ended_at REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        worker_deaths INTEGER NOT NULL DEFAULT 0,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        result TEXT
    );
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE TABLE changes (
        revision INTEGER PRIMARY KEY AUTOINCREMENT,
        number INTEGER NOT NULL REFERENCES jobs,
        state TEXT NOT NULL,
        started_at REAL,
        ended_at REAL,
        attempts INTEGER NOT NULL,
        error TEXT,
        result TEXT
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN transient INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX changes_by_job ON changes (number);
    CREATE TABLE uses (
        number INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (number, sha256)
    ) WITHOUT ROWID;
    CREATE INDEX uses_by_blob ON uses (sha256);
    INSERT INTO uses
        SELECT DISTINCT number, value FROM jobs, json_tree(jobs.request) WHERE key = 'sha256'
        UNION SELECT DISTINCT number, value FROM jobs, json_tree(jobs.result) WHERE key = 'sha256';
    """,
    """
    UPDATE jobs SET result = json_remove(json_set(result, '$.images', json(
            CASE WHEN json_extract(result, '$.image') IS NULL THEN '[]'
            ELSE json_array(json_extract(result, '$.image')) END)), '$.image')
        WHERE result IS NOT NULL;
    UPDATE changes SET result = json_remove(json_set(result, '$.images', json(
            CASE WHEN json_extract(result, '$.image') IS NULL THEN '[]'
            ELSE json_array(json_extract(result, '$.image')) END)), '$.image')
        WHERE result IS NOT NULL;
    """,
    """
    ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN place REAL NOT NULL DEFAULT 0;
    UPDATE jobs SET place = number;
    DROP INDEX jobs_by_state;
    CREATE INDEX queue ON jobs (state, transient DESC, priority DESC, place, number);
    """,
    """
    ALTER TABLE jobs ADD COLUMN collected INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET collected = 1 WHERE ended_at IS NOT NULL;
    """,
    """
    ALTER TABLE jobs ADD COLUMN download INTEGER NOT NULL DEFAULT 0;
    """,
)
"""Each is run once, in order; never edit one that was released."""
