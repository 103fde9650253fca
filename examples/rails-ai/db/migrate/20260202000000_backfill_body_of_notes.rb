# Backfill: what is older than the trigger, in batches, each in a transaction of its own.
class BackfillBodyOfNotes < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  BATCH = 100

  def up
    last = select_value("SELECT coalesce(max(id), 0) FROM notes")
    (0..last).step(BATCH) do |first|
      execute "UPDATE notes SET body = text WHERE id > #{first} AND id <= #{first + BATCH} AND body IS NULL"
    end
  end
end
