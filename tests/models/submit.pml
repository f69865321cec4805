/* Idempotent submit: two users, each sends one request until it is answered; requests and replies
 * may be lost or come twice; the scheduler may crash before or after its commit and starts again
 * with what is durable.
 *  - One request id makes at most one job.
 *  - What was acknowledged is durable, and every answer names the same job.
 * -DNO_REQUEST_ID: the scheduler does not remember request ids. -DACK_BEFORE_SYNC: it answers before
 * the commit. */
#define USERS 2
#define SENDS 3
#define CRASHES 2
#define JOBS_MAX 7

/* Durable. */
byte jobs;                 /* how many were made */
byte job_of[USERS];        /* by request id; 0: none remembered */
byte made[USERS];          /* jobs that the request has made */
/* In memory: one commit may be in flight. */
byte pending_user = 255;   /* whose submit is being committed */
byte pending_job;

byte requests[USERS];      /* on their way, copies */
byte replies[USERS];       /* job in a reply on its way; 0: none */
byte sent[USERS];
byte answered[USERS];      /* job the user was told; 0: none yet */
byte crashes;

inline answer(u, j) {
  if
  :: replies[u] = j
  :: skip /* the reply is lost */
  fi
}

active proctype World() {
  byte u;
  do
  /* A user sends, again when no answer came. */
  :: atomic {
       select(u : 0 .. USERS - 1);
       if
       :: answered[u] == 0 && sent[u] < SENDS -> sent[u]++;
          if
          :: requests[u] = 1
          :: requests[u] = 2 /* it comes twice */
          :: skip            /* it is lost */
          fi
       :: else -> skip
       fi;
       u = 0
     }
  /* A request arrives. */
  :: atomic {
       select(u : 0 .. USERS - 1);
       if
       :: requests[u] > 0 && pending_user == 255 ->
          requests[u]--;
#ifndef NO_REQUEST_ID
          if
          :: job_of[u] != 0 -> answer(u, job_of[u])
          :: else ->
#endif
             pending_user = u;
             pending_job = jobs + 1
#ifdef ACK_BEFORE_SYNC
             ; answer(u, pending_job)
#endif
#ifndef NO_REQUEST_ID
          fi
#endif
       :: else -> skip
       fi;
       u = 0
     }
  /* The commit ends: job and request id become durable together, then the answer leaves. */
  :: atomic {
       pending_user != 255 ->
       jobs = pending_job;
       assert(jobs < JOBS_MAX);
       job_of[pending_user] = pending_job;
       made[pending_user]++;
       assert(made[pending_user] == 1); /* one request id, one job */
#ifndef ACK_BEFORE_SYNC
       answer(pending_user, pending_job);
#endif
       pending_user = 255;
       pending_job = 0
     }
  /* A crash: before the commit nothing of it is there, after it all is. */
  :: atomic {
       crashes < CRASHES -> crashes++;
       if
       :: pending_user != 255 ->
          if
          :: jobs = pending_job;
             job_of[pending_user] = pending_job;
             made[pending_user]++;
             assert(made[pending_user] == 1)
          :: skip
          fi
       :: else -> skip
       fi;
       pending_user = 255;
       pending_job = 0
     }
  /* An answer arrives. */
  :: atomic {
       select(u : 0 .. USERS - 1);
       if
       :: replies[u] != 0 ->
          assert(job_of[u] == replies[u] || pending_job == replies[u]); /* acknowledged, not lost */
          assert(job_of[u] == replies[u]);                              /* and durable before */
          assert(answered[u] == 0 || answered[u] == replies[u]);
          answered[u] = replies[u];
          replies[u] = 0
       :: else -> skip
       fi;
       u = 0
     }
  od
}
