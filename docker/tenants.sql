-- SPDX-License-Identifier: Apache-2.0
-- The table behind Martlet in the compose file, with a few rows.
create table tenants (
    id text primary key,
    name text not null,
    subdomain text unique,
    custom_domain text unique,
    plan_type text not null default 'free',
    user_id text,
    version bigint not null default 1
);

insert into tenants (id, name, subdomain, custom_domain, plan_type, user_id) values
    ('1', 'Acme',    'acme',    'www.acme.example', 'pro',        'user1'),
    ('2', 'Globex',  'globex',  null,               'free',       'user2'),
    ('3', 'Initech', 'initech', 'app.initech.test', 'enterprise', 'user3');
