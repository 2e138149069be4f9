set local plan_cache_mode = force_custom_plan;
set local jit = off;
set local statement_timeout = '8s'
