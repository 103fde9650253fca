# Runs migrations of a Rails application in its own Rails (5.2 and later), each once, all in one process. It is given to rake as
# code (rake's --execute-continue) and adds a task. What is to be done stands in CUTOVER_MIGRATE; the last line that begins with
# "cutover: " says why it could not be done.

class CutoverMigrate
  # sysexits(3): the same may go better later.
  TEMPORARY = 75
  # What is said in the end, so that nobody takes another program's success for this one's.
  DONE = "cutover: all is applied".freeze

  # What PostgreSQL was building when its client was killed, and nobody builds any more: who does has the lock for it from the
  # first to the last of his transactions. A partitioned table's own indexes are
  # INVALID for as long as they have not all their parts, and are no rest of anything.
  INVALID = <<~SQL.freeze
    SELECT i.indexrelid::regclass::text AS name, c.relname AS index, t.relname AS table FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    WHERE NOT i.indisvalid AND c.relkind = 'i'
    AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = i.indrelid AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode = 'ShareUpdateExclusiveLock' AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid())
  SQL

  # The tables on which a transaction holds a lock that has been open for longer than any wait.
  HELD = <<~SQL.freeze
    SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.granted AND c.relkind IN ('r', 'p') AND l.pid <> pg_backend_pid()
    AND a.xact_start < clock_timestamp() - interval '300 ms'
  SQL

  # Waits that others hardly notice, in milliseconds: each tenth is the longer one, as what is old may be in nobody's way.
  TOUCH = 1
  PROBE = 20
  # From one of them to the next, in milliseconds.
  TOUCHES = 100

  # The sessions that an earlier attempt has left at work.
  LEFT = "FROM pg_stat_activity WHERE application_name = current_setting('application_name') " \
         "AND usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()".freeze

  # Of a statement that has changed something it is not known whether it may be made again.
  LOOKS = /\A\s*(SELECT|SHOW|SET|EXPLAIN|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b/i.freeze

  # What Rails writes down by itself.
  OWN = /\A\s*(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE) "?(schema_migrations|ar_internal_metadata)\b/i.freeze
  # What is told of a statement, in characters.
  LONGEST = 4000

  # How a connection waits for locks. A statement outside of a transaction is tried again by itself: what was done before it stays.
  # What a transaction is made of is tried again as a whole.
  module Patient
    attr_accessor :cutover

    def execute(sql, *rest)
      return super if open_transactions.positive?
      return cutover.patiently { super(sql, *rest) } unless /\bCONCURRENTLY\b/i.match?(sql)

      # It waits for transactions that are older than it, and blocks nobody meanwhile.
      super(cutover.limits("index_lock", "index"))
      begin
        super
      ensure
        super(cutover.limits(cutover.lock, "statement")) if active?
      end
    end
    # Before Ruby 2.7 there is no need for it.
    ruby2_keywords(:execute) if respond_to?(:ruby2_keywords, true)
  end

  # Lets no session come about but in the database in which a lock is held: whatever the application connects to, on the way or
  # later, is the copy, or nothing. It is asked before anything else is said in a session.
  module Sealed
    SHOWN = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted " \
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) " \
            "AND (classid::bigint << 32) | objid::bigint = $1".freeze

    class << self
      attr_accessor :key, :asked
    end

    private

    def configure_connection
      session = instance_variable_get(:@raw_connection) || instance_variable_get(:@connection)
      if session.exec_params(SHOWN, [Sealed.key.to_s]).getvalue(0, 0).to_i.zero?
        puts "cutover: the application connects to another database than the copy, which it is given as DATABASE_URL; nothing was done there"
        exit!(1)
      end
      Sealed.asked = true
      super
    end
  end

  attr_reader :lock

  def initialize(order)
    @phase, @wanted, @later, @limits = order.values_at("phase", "run", "later", "limits")
    @wanted = @wanted.map(&:to_i)
    @later = @later.map(&:to_i)
    @session = order.fetch("session")
    @lock = @limits.fetch("lock")
    @seal = order["seal"]
    @changes = 0
    @statements = []
  end

  def run
    end_in_time
    ActiveSupport::Notifications.subscribe("sql.active_record") do |_, began, ended, _, payload|
      next if payload[:exception] || payload[:name] == "SCHEMA" || LOOKS.match?(payload[:sql])

      @changes += 1
      @statements << [payload[:sql], ((ended - began) * 1000).round] if @seal && !OWN.match?(payload[:sql])
    end
    seal if @seal
    set_up
    missing = @wanted - context.migrations.map(&:version)
    fail_with "the image lacks #{list(missing)}, which the release has in db/migrate or db/post_migrate" if missing.any?

    fail_with "the image has #{list(strangers)} in db/post_migrate, which the release doesn't know of: deploy from the folder that the image was built of" if strangers.any?

    due.each { |migration| up(migration) }
    left = due.map(&:version)
    fail_with "#{list(left)} still not applied" if left.any?
    puts DONE
  rescue ActiveRecord::ConcurrentMigrationError => error
    fail_with "another process migrates this database: #{error.message}", TEMPORARY
  end

  # How long one wait for a lock and one statement may take, as a statement; times are in ms, or names of limits.
  def limits(lock, statement)
    "SET lock_timeout = #{@limits.fetch(lock, lock)}; SET statement_timeout = #{@limits.fetch(statement)}"
  end

  # Tries something again and again as long as it gets no lock: each try is so short that nobody queues behind it for long.
  def patiently
    began = clock
    tries = 0
    begin
      tries += 1
      yield
    rescue ActiveRecord::LockWaitTimeout, ActiveRecord::Deadlocked
      raise if clock - began > @limits["patience"]

      puts "cutover: a statement got no lock, try #{tries}" if tries == 1 || (tries % 20).zero?
      pause
      retry
    end
  end

  private

  # Where nobody watches over this any more, it doesn't go on for ever.
  def end_in_time
    whole = @limits.fetch("whole") / 1000.0
    Thread.new do
      sleep whole
      puts "cutover: the migrations took longer than #{whole.round} s"
      exit!(1)
    end
  end

  # In milliseconds.
  def clock
    Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
  end

  # Room for all that has queued, by chance one to four times the wait.
  def pause
    sleep((@lock <= PROBE ? TOUCHES : @lock * (1 + 3 * rand)) / 1000.0)
  end

  def connection
    base = ActiveRecord::Base
    base.respond_to?(:lease_connection) ? base.lease_connection : base.connection
  end

  def postgresql?
    /postg/i.match?(connection.adapter_name)
  end

  # All migrations of the application and those of db/post_migrate, which it may leave out by itself.
  def context
    @context ||= begin
      pool = ActiveRecord::Base.connection_pool
      own = pool.respond_to?(:migration_context) ? pool.migration_context : connection.migration_context
      paths = [*own.migrations_paths, "db/post_migrate"].map { |path| File.expand_path(path, Rails.root) }.uniq
      tables = %i[schema_migration internal_metadata].select { |table| own.respond_to?(table) }
      own.class.new(paths, *tables.map { |table| own.public_send(table) })
    end
  end

  # What is not applied, in the order of the versions. What a part of the application brings along itself, and no folder of the
  # build context has, is applied with the rest before the switch.
  def due
    applied = context.get_all_versions
    context.migrations.select do |migration|
      wanted = @phase == "expand" ? !@later.include?(migration.version) : @wanted.include?(migration.version)
      wanted && !applied.include?(migration.version)
    end
  end

  # What is meant for after the switch by its folder, and was not there when the release was made.
  def strangers
    folder = File.join(File.expand_path("db/post_migrate", Rails.root), "")
    due.select { |migration| File.expand_path(migration.filename).start_with?(folder) && !@wanted.include?(migration.version) }
       .map(&:version)
  end

  def set_up
    # Its limits would take the place of these.
    if defined?(StrongMigrations)
      %i[lock_timeout= statement_timeout=].each { |set| StrongMigrations.public_send(set, nil) if StrongMigrations.respond_to?(set) }
    end
    if postgresql?
      refuse_pooler
      connection.execute("SET application_name = #{connection.quote(@session)}")
      # The server looks whether a killed one's session still has a client, where it knows how (from PostgreSQL 14 on).
      connection.execute("SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'")
      end_what_is_left
    end
    connection.singleton_class.prepend(Patient)
    connection.cutover = self
    # Makes the tables that Rails keeps its versions in.
    context.open
  end

  # From here on there are no sessions but new ones.
  def seal
    begin
      require "active_record/connection_adapters/postgresql_adapter"
    rescue LoadError
      fail_with "only an application on PostgreSQL can be rehearsed"
    end
    Sealed.key = @seal
    ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.prepend(Sealed)
    ObjectSpace.each_object(ActiveRecord::ConnectionAdapters::ConnectionPool, &:disconnect!)
    fail_with "only an application on PostgreSQL can be rehearsed" unless postgresql?
    # Some versions connect only once there is something to ask.
    connection.select_value("SELECT 1")
    fail_with "this Rails can't be kept to the copy, so nothing is rehearsed" unless Sealed.asked
  end

  # A pooler that gives transactions sessions of its own choice gives another connection ours, while we have nothing to do; and what
  # is set for a session, and the lock that Rails takes, would be somebody else's.
  def refuse_pooler
    ask = "SELECT pg_backend_pid()"
    ours = connection.select_value(ask)
    # Another thread has another connection.
    another = Thread.new do
      begin
        ActiveRecord::Base.connection_pool.with_connection { |connection| connection.select_value(ask) }
      rescue ActiveRecord::ConnectionTimeoutError
        # The application has only one.
        nil
      end
    end
    other = another.value
    return if other != ours && connection.select_value(ask) == ours

    fail_with "the database is no direct session, as behind a PgBouncer in transaction mode: give the address of the " \
              "database server itself, as migrations.database"
  end

  def end_what_is_left
    100.times do
      return if connection.select_value("SELECT count(pg_terminate_backend(pid)) #{LEFT}").to_i.zero?

      sleep 0.1
    end
    fail_with "what an earlier attempt has left at work in the database does not end", TEMPORARY
  end

  # Tried again as a whole as long as it gets no lock, and as far as nothing of a try stays.
  def up(migration)
    began = clock
    tries = 0
    begin
      spent = clock - began
      tries += 1
      prepare(migration, spent, tries)
      @changes = 0
      @statements = []
      # Each further try would say the same again.
      ActiveRecord::Migration.verbose = tries == 1
      context.run(:up, migration.version)
    rescue ActiveRecord::ConcurrentMigrationError
      raise if spent > @limits["patience"]

      sleep 0.5
      retry
    rescue StandardError, ScriptError => error
      failed(migration, error) unless contended?(error)
      unless @changes.zero? || transactional?(migration)
        failed(migration, error, "after changes that stay; make each of them a migration of its own")
      end
      if spent > @limits["patience"]
        puts error.message
        fail_with "#{name(migration)} got no lock in #{tries} tries over #{(spent / 1000).round} s", TEMPORARY
      end
      puts "cutover: #{name(migration)} got no lock, try #{tries}" if tries == 1 || (tries % 20).zero?
      pause
      retry
    end
    ActiveRecord::Migration.verbose = true
    tell_statements(migration)
    migration.announce("migrated (%.4fs), at try #{tries}" % (spent / 1000)) if tries > 1
    rests(migration).each { |rest| fail_with "#{name(migration)} left the index #{rest} INVALID" }
  end

  def tell_statements(migration)
    @statements.each do |sql, took|
      told = {version: migration.version.to_s, sql: sql[0, LONGEST], took: took, together: transactional?(migration)}
      puts "cutover-sql #{JSON.generate(told)}"
    end
  end

  def prepare(migration, spent, tries)
    # One wait for a lock, longer as patience ends; two who collide part by chance.
    early = spent < @limits["patience"] / 2
    @lock = ((early ? @limits["lock"] : @limits["longest_lock"]) * (0.5 + 0.5 * rand)).ceil
    if postgresql?
      # As long as an old transaction has what is needed, a wait is of no use to anybody.
      @lock = (tries % 10).zero? ? PROBE : TOUCH if early && held?(migration)
      connection.execute(limits(@lock, "statement"))
      rests(migration).each do |rest|
        puts "cutover: dropping the INVALID index #{rest}, to build it again"
        connection.execute("DROP INDEX CONCURRENTLY #{rest}")
      end
    elsif /mysql|trilogy/i.match?(connection.adapter_name)
      # In whole seconds.
      @lock = 1000
      connection.execute("SET SESSION lock_wait_timeout = 1")
    end
  end

  # Whether an old transaction has a lock on what a migration names that is tried again as a whole.
  def held?(migration)
    return false unless transactional?(migration)

    text = File.read(migration.filename)
    connection.select_values(HELD).any? { |table| text.include?(table) }
  end

  # The INVALID indexes on what a migration names that runs outside of a transaction.
  def rests(migration)
    return [] if !postgresql? || transactional?(migration)

    text = File.read(migration.filename)
    named = connection.select_all(INVALID).to_a.select { |row| text.include?(row["table"]) || text.include?(row["index"]) }
    named.map { |row| row["name"] }
  end

  def transactional?(migration)
    connection.supports_ddl_transactions? && !migration.disable_ddl_transaction
  end

  # Whether an error, or what caused it, is about a lock.
  def contended?(error)
    causes = []
    while error && !causes.include?(error)
      causes << error
      error = error.cause
    end
    causes.any? { |cause| cause.is_a?(ActiveRecord::LockWaitTimeout) || cause.is_a?(ActiveRecord::Deadlocked) }
  end

  def failed(migration, error, more = nil)
    cause = error.cause || error
    puts error.message
    places = (cause.backtrace || []).select { |line| line.start_with?(Rails.root.to_s) }.first(5)
    puts(places.map { |place| "  #{place}" })
    first = cause.message.to_s.lines.map(&:strip).reject(&:empty?).first
    fail_with ["#{name(migration)} failed", more].compact.join(" ") + ": #{cause.class}: #{first}"
  end

  def fail_with(reason, code = 1)
    puts "cutover: #{reason}"
    exit(code)
  end

  def name(migration)
    "migration #{migration.version} #{migration.name}"
  end

  def list(versions)
    versions.size == 1 ? "migration #{versions.first}" : "migrations #{versions.first(5).join(', ')}#{' and more' if versions.size > 5}"
  end
end

$stdout.sync = true
$stderr.reopen($stdout)
Rake::Task.define_task("cutover:migrate" => "db:load_config") do
  require "json"
  CutoverMigrate.new(JSON.parse(ENV.fetch("CUTOVER_MIGRATE"))).run
end
