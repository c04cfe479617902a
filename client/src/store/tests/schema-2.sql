CREATE TABLE node (               -- the one whose store this is
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    identity   BLOB,                        -- its peer id; NULL until its first start
    kept_at    INTEGER NOT NULL DEFAULT 0,  -- ms; when what is too old was last forgotten, 0 = never yet
    doubted_at INTEGER NOT NULL DEFAULT 0   -- ms; the clock when it was first found far from there, 0 = it is not
);
INSERT INTO node (one) VALUES (1);

CREATE TABLE bundles (            -- one's own, newest first in use, old ones kept for peers who still have them
    hash     BLOB PRIMARY KEY,
    signed   BLOB NOT NULL,
    payload  BLOB NOT NULL,
    secret   BLOB NOT NULL,
    exchange TEXT NOT NULL,       -- key exchange and its shared options
    cipher   TEXT NOT NULL,
    nick     TEXT NOT NULL,
    made     INTEGER NOT NULL,    -- when the keys were made; a new nick signs the same keys again
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE contacts (
    peer       BLOB PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,   -- what it is called here
    nick       TEXT NOT NULL,          -- what it calls itself
    bundle     BLOB NOT NULL,
    problem    TEXT,
    sending    BLOB,                   -- the session that seals
    verified   INTEGER NOT NULL DEFAULT 0,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE former_names (         -- a name that was given up is nobody else's
    name TEXT PRIMARY KEY,
    peer BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE rooms (
    name         TEXT PRIMARY KEY,
    conversation BLOB NOT NULL,
    joined       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE members (
    room      TEXT NOT NULL,
    peer      BLOB NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (room, peer)
) WITHOUT ROWID;

CREATE TABLE sessions (
    id               BLOB PRIMARY KEY,
    peer             BLOB NOT NULL,
    initiator        INTEGER NOT NULL,
    binding          BLOB NOT NULL,
    handshake        BLOB,                 -- sent along until the peer is known to have it
    got_context      INTEGER NOT NULL,
    peer_has_context INTEGER NOT NULL,
    exchange         TEXT NOT NULL,
    cipher           TEXT NOT NULL,
    created          INTEGER NOT NULL,
    main             BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of_peer ON sessions (peer, created);

CREATE TABLE session_rows (
    session BLOB NOT NULL,
    key     BLOB NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (session, key)
) WITHOUT ROWID;

CREATE TABLE handshakes (           -- accepted first messages, against replay
    session BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE messages (
    id           BLOB NOT NULL,         -- chosen by its author: two authors may choose the same
    conversation BLOB NOT NULL,
    author       BLOB NOT NULL,
    mine         INTEGER NOT NULL,
    in_room      INTEGER NOT NULL,
    text         TEXT NOT NULL,
    sent_at      INTEGER NOT NULL,
    arrived      INTEGER NOT NULL,
    position     INTEGER,             -- NULL while held: something before it is missing
    gap          INTEGER NOT NULL DEFAULT 0,
    previous     BLOB,
    link         BLOB,
    client_id    TEXT UNIQUE,
    state        INTEGER NOT NULL DEFAULT 0,
    reason       TEXT,
    seen         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (id, author)
);
CREATE INDEX messages_in_order ON messages (conversation, position);
CREATE INDEX messages_by_previous ON messages (conversation, author, previous) WHERE mine = 0;
CREATE INDEX messages_by_link ON messages (conversation, author, link) WHERE mine = 0;
CREATE INDEX messages_held ON messages (arrived) WHERE position IS NULL;
CREATE INDEX messages_queued ON messages (conversation, position) WHERE mine = 1 AND state = 0;
CREATE INDEX messages_unread ON messages (conversation, position) WHERE mine = 0 AND seen = 0;

CREATE TABLE deliveries (           -- one a recipient of a message of one's own
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    message     BLOB NOT NULL,
    peer        BLOB NOT NULL,
    state       INTEGER NOT NULL,
    reason      TEXT,
    previous    BLOB NOT NULL,
    envelope_id BLOB,               -- NULL until there is a session to seal it
    envelope    BLOB,
    session     BLOB,               -- that sealed it
    created     INTEGER NOT NULL,
    UNIQUE (message, peer)
);
CREATE INDEX deliveries_by_envelope ON deliveries (envelope_id);
CREATE INDEX deliveries_open ON deliveries (peer, seq) WHERE state < 3;
CREATE INDEX deliveries_open_in_order ON deliveries (seq) WHERE state < 3;

CREATE TABLE controls (             -- receipts and the like: kept until the relay has stored them
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL UNIQUE,
    peer        BLOB NOT NULL,
    envelope    BLOB NOT NULL,
    created     INTEGER NOT NULL
);

CREATE TABLE chains (
    conversation BLOB NOT NULL,
    peer         BLOB NOT NULL,
    outgoing     INTEGER NOT NULL,
    link         BLOB NOT NULL,
    PRIMARY KEY (conversation, peer, outgoing)
) WITHOUT ROWID;

CREATE TABLE seen_envelopes (
    id      BLOB NOT NULL,
    sender  BLOB NOT NULL,
    message BLOB,                   -- of a text: a repeat is answered with its receipt
    at      INTEGER NOT NULL,
    frame   BLOB,                   -- hash of what was sealed in it: the same again is a replay
    PRIMARY KEY (id, sender)
) WITHOUT ROWID;
CREATE INDEX seen_envelopes_by_age ON seen_envelopes (at);
CREATE INDEX seen_frames ON seen_envelopes (frame);
